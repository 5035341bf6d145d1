//! The desk: a small workspace in one page, for demonstrations and browser tests.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

use crate::http::App;

/// Everything comes from this server, nothing is inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/", get(|| async { axum::response::Redirect::to("/desk") }))
        .route("/desk", get(|| file("text/html; charset=utf-8", PAGE)))
        .route("/desk/desk.js", get(|| file("text/javascript", SCRIPT)))
        .route("/desk/desk.css", get(|| file("text/css", STYLE)))
        .route("/desk/icon.svg", get(|| file("image/svg+xml", ICON)))
}

const PAGE: &str = include_str!("desk/index.html");
const SCRIPT: &str = include_str!("desk/desk.js");
const STYLE: &str = include_str!("desk/desk.css");
const ICON: &str = include_str!("desk/icon.svg");

async fn file(kind: &'static str, text: &'static str) -> impl IntoResponse {
    (
        [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::CACHE_CONTROL, "no-store"),
        ],
        text,
    )
}
