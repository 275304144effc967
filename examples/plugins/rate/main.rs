//! rate rejects messages, with 429, of those who send more than others can take. The
//! configuration, as it is without one:
//!
//! ```json
//! {"limit": 100, "window_ms": 1000, "by": "client"}
//! ```
//!
//! At most `limit` messages pass in a window, which begins with the first message.
//! They are counted by `client` (a connection), `user`, `subject`, or by a token of
//! the subject, from 1: with `"by": 2`, device.7.temp and device.7.rpm are one.
//!
//! Counts are in the plugin's store, so that all instances count together. When it
//! is full, who isn't in it is rejected with 503.

#[path = "../../../plugins/sdk/rust/ganglion.rs"]
mod ganglion;
use ganglion::*;

enum By {
    Facts(&'static str),
    Subject,
    Token(usize),
}

struct Rate {
    limit: i64,
    window: i64,
    by: By,
    reason: String,
}

/// A whole number above 0 of the configuration.
fn number(config: &str, key: &str, otherwise: i64) -> Result<i64, String> {
    match json::get(config, key) {
        None => Ok(otherwise),
        Some(v) => v.parse().ok().filter(|n| *n > 0).ok_or_else(|| [key, " is no whole number above 0"].concat()),
    }
}

impl Plugin for Rate {
    const MANIFEST: &'static str = r#"{"name": "rate", "version": "1", "description": "limits messages by sender",
        "bindings": [{"boundary": "publish", "subjects": ["device.>"], "order": 10}], "kv": 1048576}"#;

    fn configure(config: &str) -> Result<(Self, Want), String> {
        let (by, want) = match json::get(config, "by").map(json::text).as_deref() {
            None | Some("client") => (By::Facts("cid"), WANT_FACTS),
            Some("user") => (By::Facts("user"), WANT_FACTS),
            Some("subject") => (By::Subject, WANT_SUBJECT),
            Some(n) => match n.parse() {
                Ok(n) if n > 0 => (By::Token(n), WANT_SUBJECT),
                _ => return Err("by is none of client, user, subject and the number of a token".to_string()),
            },
        };
        let (limit, window) = (number(config, "limit", 100)?, number(config, "window_ms", 1000)?);
        let reason = ["more than ", &limit.to_string(), " messages in ", &window.to_string(), " ms"].concat();
        Ok((Rate { limit, window, by, reason }, want))
    }

    fn on_message(&mut self, m: &Message) -> Verdict {
        let subject = String::from_utf8_lossy(m.subject);
        let sender = match &self.by {
            By::Facts(key) => std::str::from_utf8(m.facts).ok().and_then(|f| json::get(f, key)).unwrap_or(""),
            By::Subject => &subject,
            By::Token(n) => subject.split('.').nth(n - 1).unwrap_or(""),
        };
        match kv_add(sender, 1, self.window) {
            Ok(n) if n <= self.limit => Verdict::Pass,
            Ok(_) => {
                metric_add("rejected", 1);
                Verdict::Reject(429, self.reason.clone())
            }
            Err(FULL) | Err(TOO_LARGE) => Verdict::Reject(503, "too many senders".to_string()),
            Err(_) => Verdict::Fail,
        }
    }
}

plugin!(Rate);
