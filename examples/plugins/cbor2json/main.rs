//! cbor2json turns CBOR (RFC 8949) into JSON on its way to those who receive it, such
//! as browsers: bind it to the boundary `deliver` of their listener. A header
//! `Content-Type` becomes `application/json`. What is no CBOR goes on as it is. It
//! takes no configuration.
//!
//!     cbor.7  a1 61 74 f9 4d 60  ->  {"t":21.5}
//!
//! Byte strings become base64url, keys of maps strings, and undefined, NaN and the
//! infinities null; tags are left out (RFC 8949, section 6.1).

#[path = "../../../plugins/sdk/rust/ganglion.rs"]
mod ganglion;
mod cbor;
use ganglion::*;

struct Cbor2Json;

impl Plugin for Cbor2Json {
    const MANIFEST: &'static str = r#"{"name": "cbor2json", "version": "1", "description": "turns CBOR into JSON",
        "bindings": [{"boundary": "deliver", "subjects": ["cbor.>"]}]}"#;

    fn configure(_config: &str) -> Result<(Self, Want), String> {
        Ok((Cbor2Json, WANT_HEADERS | WANT_PAYLOAD))
    }

    fn on_message(&mut self, m: &Message) -> Verdict {
        let text = match cbor::to_json(m.payload) {
            Some(text) => text,
            None => return Verdict::Pass,
        };
        let mut r = Verdict::replace().payload(text);
        if m.header("Content-Type").is_some() {
            r = r.headers(m.with_header("Content-Type", b"application/json"));
        }
        r.into()
    }
}

plugin!(Cbor2Json);
