//! Requests to the hub and to where it sends us; the only place that opens a connection.

use std::io::{self, Read};
use std::time::Duration;

use mmsearch::{Error, Result};
use ureq::http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_RANGE, ETAG, HeaderMap, LOCATION, RANGE,
};
use ureq::http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use ureq::{Agent, Body};

use super::checksum::Checksum;

/// More than the hub and its mirrors ever need.
const MAX_REDIRECTS: usize = 8;
/// The list of files of the largest repositories has some hundred kilobytes.
const MAX_LIST_BYTES: u64 = 16 << 20;
/// A server that is silent for so long is taken for gone; what has arrived stays.
const PATIENCE: Duration = Duration::from_secs(60);

/// Talks to one hub.
pub(crate) struct Client {
    agent: Agent,
    hub: Origin,
    authorization: Option<HeaderValue>,
}

/// What the hub says of a file.
pub(crate) struct RemoteFile {
    pub(crate) checksum: Checksum,
    pub(crate) size_bytes: u64,
}

/// A file's bytes, from somewhere in it on.
pub(crate) struct Tail {
    /// Where the bytes begin: a server may ignore the wish for a later beginning.
    pub(crate) start: u64,
    pub(crate) bytes: Box<dyn Read>,
}

/// Whom a token is for: scheme, host and port.
#[derive(PartialEq, Eq)]
struct Origin(String, String, u16);

/// What is asked for.
struct Question<'a> {
    method: Method,
    url: &'a str,
    /// The first byte that is wanted.
    start: u64,
    /// Whether redirects away from the hub are followed.
    leaves_hub: bool,
}

/// The last response, and what the hub said on the way to it.
struct Answer {
    response: Response<Body>,
    url: Uri,
    /// The hash and size that the hub gives when it sends us elsewhere for the bytes.
    linked: Option<(Checksum, u64)>,
}

impl Client {
    /// # Errors
    /// [`Error::BadOption`] if the address or the token cannot be one; the token is not shown.
    pub(crate) fn new(endpoint: &str, token: Option<&str>) -> Result<Self> {
        let bad = |reason: &str| Error::BadOption { reason: reason.into() };
        let uri: Uri = endpoint.parse().map_err(|_| bad("HF_ENDPOINT is not an address"))?;
        let hub = Origin::of(&uri)
            .ok_or_else(|| bad("HF_ENDPOINT is not an address that begins with http(s)://"))?;
        // It would be in every message.
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err(bad("HF_ENDPOINT has a password in it; put a token into HF_TOKEN"));
        }
        let authorization = token.map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| bad("HF_TOKEN has a character that no token has"))?;
            value.set_sensitive(true);
            Ok(value)
        });
        let config = Agent::config_builder()
            .user_agent(concat!("mmsearch/", env!("CARGO_PKG_VERSION")))
            // Redirects are followed by hand, since ureq takes two ports of a host for one.
            .max_redirects(0)
            .http_status_as_error(false)
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE));
        let agent = config.build().new_agent();
        Ok(Self { agent, hub, authorization: authorization.transpose()? })
    }

    /// A short text.
    pub(crate) fn text(&self, url: &str) -> Result<Vec<u8>> {
        let question = Question { method: Method::GET, url, start: 0, leaves_hub: false };
        let Answer { mut response, url, .. } = self.ask(&question)?;
        let body = response.body_mut().with_config().limit(MAX_LIST_BYTES).read_to_vec();
        body.map_err(|error| unreachable(&url, error))
    }

    /// A file's size and hash.
    pub(crate) fn describe(&self, url: &str) -> Result<RemoteFile> {
        let question = Question { method: Method::HEAD, url, start: 0, leaves_hub: false };
        let Answer { response, url, linked } = self.ask(&question)?;
        // A redirect's own length is that of its text.
        let is_file = response.status().is_success();
        let own =
            || Some((etag(response.headers())?, number(response.headers(), "content-length")?));
        let Some((checksum, size_bytes)) = linked.or_else(|| own().filter(|_| is_file)) else {
            return Err(Error::BadModel {
                path: shown(&url).into(),
                reason: "the hub names no size and hash for it, so that it could not be checked; \
                         use another HF_ENDPOINT"
                    .into(),
            });
        };
        Ok(RemoteFile { checksum, size_bytes })
    }

    /// A file's bytes from `start` on, or from the beginning if the server knows no better.
    pub(crate) fn tail(&self, url: &str, start: u64) -> Result<Tail> {
        let question = Question { method: Method::GET, url, start, leaves_hub: true };
        let Answer { response, url, .. } = self.ask(&question)?;
        let start = match response.status() {
            StatusCode::PARTIAL_CONTENT => range_start(response.headers())
                .ok_or_else(|| refused(&url, "the server does not say which part it sends"))?,
            _ => 0,
        };
        Ok(Tail { start, bytes: Box::new(response.into_body().into_reader()) })
    }

    /// Asks, follows redirects, and makes an error of every answer that is none.
    fn ask(&self, question: &Question) -> Result<Answer> {
        let mut url: Uri = question.url.parse().map_err(|_| Error::BadOption {
            reason: format!("{} is not an address; look at HF_ENDPOINT", question.url),
        })?;
        let mut linked = None;
        for _ in 0..=MAX_REDIRECTS {
            let response = self.send(question, &url)?;
            let at_hub = Origin::of(&url).as_ref() == Some(&self.hub);
            if at_hub && linked.is_none() {
                linked = link(response.headers());
            }
            let status = response.status();
            if status.is_success() {
                return Ok(Answer { response, url, linked });
            }
            if !status.is_redirection() {
                return Err(self.no(&url, at_hub, &response));
            }
            let next = next_hop(&url, response.headers()).ok_or_else(|| {
                refused(&url, "it redirects to no address, or from https to http")
            })?;
            if !question.leaves_hub && Origin::of(&next).as_ref() != Some(&self.hub) {
                return Ok(Answer { response, url, linked });
            }
            url = next;
        }
        Err(refused(&url, "it redirects in a circle"))
    }

    fn send(&self, question: &Question, url: &Uri) -> Result<Response<Body>> {
        // A compressed answer would have another length than the file.
        let mut request = Request::builder()
            .method(&question.method)
            .uri(url)
            .header(ACCEPT_ENCODING, "identity");
        if question.start > 0 {
            request = request.header(RANGE, format!("bytes={}-", question.start));
        }
        let is_hub = Origin::of(url).as_ref() == Some(&self.hub);
        if let Some(authorization) = self.authorization.as_ref().filter(|_| is_hub) {
            request = request.header(AUTHORIZATION, authorization);
        }
        let request = request.body(()).map_err(|error| refused(url, &error.to_string()))?;
        self.agent.run(request).map_err(|error| unreachable(url, error))
    }

    /// What to do about an answer that is none.
    fn no(&self, url: &Uri, at_hub: bool, response: &Response<Body>) -> Error {
        let status = response.status();
        let gated = response.headers().get("x-error-code").is_some_and(|code| code == "GatedRepo");
        match status.as_u16() {
            401 | 403 if at_hub && gated => refused(
                url,
                "its owner gives it to those only who accept a licence: accept it on the model's page, \
                 make a token in your settings there, and set HF_TOKEN to it",
            ),
            // The hub does not tell strangers which private repositories there are.
            401 | 403 if at_hub && self.authorization.is_none() => refused(
                url,
                &format!(
                    "the hub says {status}: there is no such repository, or it is private or behind a licence; \
                     look at the spelling, or set HF_TOKEN to a token of yours that may read it"
                ),
            ),
            401 | 403 if at_hub => refused(
                url,
                &format!(
                    "the hub says {status}: HF_TOKEN is not valid or may not read this repository; \
                     make a new one, and accept the licence on the model's page if there is one"
                ),
            ),
            // Asking differently is all that helps, as with any wrong argument.
            404 if at_hub => Error::BadOption {
                reason: format!(
                    "{} is not there: look at the spelling of the repository and the revision",
                    shown(url)
                ),
            },
            _ => refused(url, &format!("the server says {status}; try again later")),
        }
    }
}

impl Origin {
    fn of(url: &Uri) -> Option<Self> {
        let scheme = url.scheme_str()?.to_ascii_lowercase();
        let usual = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        Some(Self(scheme, url.host()?.to_ascii_lowercase(), url.port_u16().unwrap_or(usual)))
    }
}

/// The hash and size of what the hub keeps elsewhere.
fn link(headers: &HeaderMap) -> Option<(Checksum, u64)> {
    let etag = headers.get("x-linked-etag")?.to_str().ok()?;
    Some((Checksum::of_etag(etag)?, number(headers, "x-linked-size")?))
}

fn etag(headers: &HeaderMap) -> Option<Checksum> {
    Checksum::of_etag(headers.get(ETAG)?.to_str().ok()?)
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// `bytes 7-99/100` begins at 7.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// Where a redirect leads: to an address or to a path, never from an encrypted connection to an open one.
fn next_hop(url: &Uri, headers: &HeaderMap) -> Option<Uri> {
    let location = headers.get(LOCATION)?.to_str().ok()?;
    let next: Uri = if location.starts_with('/') && !location.starts_with("//") {
        format!("{}://{}{location}", url.scheme_str()?, url.authority()?).parse().ok()?
    } else {
        location.parse().ok()?
    };
    let opens = url.scheme_str() == Some("https") && next.scheme_str() != Some("https");
    (Origin::of(&next).is_some() && !opens).then_some(next)
}

/// An address for people: without the query, which may be a signature, and without what may be a password.
fn shown(url: &Uri) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let (scheme, host) = (url.scheme_str().unwrap_or_default(), url.host().unwrap_or_default());
    format!("{scheme}://{host}{port}{}", url.path())
}

/// There is a server, and it says no.
fn refused(url: &Uri, reason: &str) -> Error {
    Error::Io { action: "fetch", path: shown(url).into(), error: io::Error::other(reason) }
}

/// There is no answer.
fn unreachable(url: &Uri, error: ureq::Error) -> Error {
    let reason = format!(
        "{error}: look at the network (and HF_ENDPOINT, HTTPS_PROXY if they are set), then run it again"
    );
    refused(url, &reason)
}
