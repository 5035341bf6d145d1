//! The agents' listener: the WebSocket, the softphone page and the page library, embedded in the binary.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use super::agent_ws::{self, Front};
use crate::web::{ASSETS, Asset};

/// Scripts and styles of our own only, nothing inline; the page talks to its own host; nobody frames it, so that no click is
/// stolen. Sound and microphone need no source list.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' \
                      blob:; connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Of all that a browser can give, only what a telephone needs.
const PERMISSIONS: &str = "microphone=(self), speaker-selection=(self), autoplay=(self), camera=(), geolocation=(), payment=(), usb=()";

/// All paths of the listener.
pub fn router(front: Arc<Front>) -> Router {
    let mut router = Router::new()
        .route("/agent/v1", get(agent_ws::upgrade))
        .route("/", get(|| async { Redirect::temporary("/agent") }));
    for asset in ASSETS {
        router = router.route(asset.path, get(|| async { serve(asset) }));
    }
    router
        .fallback(|| async { (StatusCode::NOT_FOUND, "no such page\n") })
        .layer(middleware::from_fn(harden))
        .with_state(front)
}

fn serve(asset: &'static Asset) -> Response {
    ([(CONTENT_TYPE, asset.content_type)], asset.bytes).into_response()
}

/// Puts what a browser must know into every answer.
async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    let lines = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        // A new gateway must not meet an old page.
        (CACHE_CONTROL, "no-cache"),
    ];
    for (name, value) in lines {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
