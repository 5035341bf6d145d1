//! The route set of a dialog (RFC 3261 sections 12.1 and 12.2.1.1).

use crate::{HeaderName, Headers, NameAddr, Uri};

/// The proxies that want to stay on the path, nearest first, each as it was spelt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RouteSet(Vec<Vec<u8>>);

impl RouteSet {
    /// From the request that opens a dialog with us: in the order of its Record-Route.
    pub(crate) fn from_request(headers: &Headers) -> Self {
        Self(
            headers
                .list(&HeaderName::RECORD_ROUTE)
                .map(<[u8]>::to_vec)
                .collect(),
        )
    }

    /// From the response that opens a dialog of ours: in the reverse order.
    pub(crate) fn from_response(headers: &Headers) -> Self {
        let mut set = Self::from_request(headers);
        set.0.reverse();
        set
    }

    /// Request-URI and Route values of a request to `target`.
    pub(crate) fn apply(&self, target: &Uri) -> (Uri, Vec<Vec<u8>>) {
        match self.first() {
            // A strict router: it takes the Request-URI for itself and the target travels last.
            Some(first) if first.param("lr").is_none() => {
                let mut routes: Vec<_> = self.0.iter().skip(1).cloned().collect();
                let mut last = b"<".to_vec();
                last.extend_from_slice(target.as_bytes());
                last.push(b'>');
                routes.push(last);
                (first.for_request_line(), routes)
            }
            _ => (target.clone(), self.0.clone()),
        }
    }

    /// Where a request goes first, when the set names a proxy.
    pub(crate) fn first(&self) -> Option<Uri> {
        let value = self.0.first()?;
        NameAddr::parse(value).map(|address| address.uri)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn recorded(values: &[&str]) -> Headers {
        let mut headers = Headers::new();
        for value in values {
            headers.push(HeaderName::RECORD_ROUTE, *value);
        }
        headers
    }

    fn shown(routes: &[Vec<u8>]) -> Vec<String> {
        routes
            .iter()
            .map(|route| String::from_utf8(route.clone()).unwrap())
            .collect()
    }

    #[test]
    fn loose_routers_leave_the_target_in_the_request_line() {
        let headers = recorded(&["<sip:p1;lr>, <sip:p2;lr>", "<sip:p3;lr>;x=1"]);
        let target = Uri::parse(b"sip:1003@192.0.2.81").unwrap();
        let (uri, routes) = RouteSet::from_request(&headers).apply(&target);
        assert_eq!(uri, target);
        assert_eq!(
            shown(&routes),
            ["<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr>;x=1"]
        );
        let (_, routes) = RouteSet::from_response(&headers).apply(&target);
        assert_eq!(
            shown(&routes),
            ["<sip:p3;lr>;x=1", "<sip:p2;lr>", "<sip:p1;lr>"]
        );
    }

    #[test]
    fn a_strict_router_takes_the_request_line() {
        let headers = recorded(&["<sip:p1>", "<sip:p2;lr>"]);
        let target = Uri::parse(b"sip:1003@192.0.2.81").unwrap();
        let (uri, routes) = RouteSet::from_request(&headers).apply(&target);
        assert_eq!(uri, Uri::parse(b"sip:p1").unwrap());
        assert_eq!(shown(&routes), ["<sip:p2;lr>", "<sip:1003@192.0.2.81>"]);
    }
}
