//! The conformance guest in Rust. What it does on which subject is written in
//! ../README.md; it is the same in all languages.

#[path = "../../../rust/ganglion.rs"]
mod ganglion;
use ganglion::*;
use std::fmt::Write;

struct Conformance {
    config: String,
}

fn answer(v: Result<String, Refused>) -> Verdict {
    let text = v.unwrap_or_else(|e| format!("error {}", e.0));
    Verdict::replace().payload(text).into()
}

fn hex(b: &[u8]) -> String {
    b.iter().fold(String::new(), |mut s, c| {
        let _ = write!(s, "{:02x}", c);
        s
    })
}

impl Plugin for Conformance {
    const MANIFEST: &'static str = r#"{"name": "conformance", "version": "1", "description": "says \"what\" it \\ sees",
        "bindings": [{"boundary": "publish", "subjects": [">"], "publish_to": ["new.>"], "order": 7}, {"boundary": "connect"}],
        "emit": ["out.>"], "kv": 4096, "clock": true}"#;

    fn configure(config: &str) -> Result<(Self, Want), String> {
        if json::get(config, "fail").is_some() {
            return Err("told to fail".to_string());
        }
        Ok((Conformance { config: config.to_string() }, WANT_ALL))
    }

    fn on_tick(&mut self, now: i64) {
        metric_set("tick", now as f64);
    }

    fn on_close(&mut self) {
        log(INFO, "closed");
    }

    fn on_message(&mut self, m: &Message) -> Verdict {
        let p = m.payload;
        let text = String::from_utf8_lossy(p);
        let replace = Verdict::replace();
        match String::from_utf8_lossy(m.subject.strip_prefix(b"cmd.").unwrap_or(b"")).as_ref() {
            "pass" => Verdict::Pass,
            "drop" => Verdict::Drop,
            "reject" => Verdict::Reject(422, text.into_owned()),
            "reject.plain" => Verdict::Reject(0, String::new()),
            "fail" => Verdict::Fail,
            "trap" => panic!("told to trap"),
            "replace.subject" => replace.subject(p).into(),
            "replace.reply" => replace.reply(p).into(),
            "replace.headers" => replace.headers(p).into(),
            "replace.payload" => replace.payload([p, p].concat()).into(),
            "replace.inplace" => replace.payload(p.to_ascii_uppercase()).into(),
            "replace.all" => {
                replace.subject("new.subject").reply("new.reply").headers("NATS/1.0\r\nA: b\r\n\r\n").payload("new").into()
            }
            "header" => replace.payload([b"<", m.header(&text).unwrap_or(b""), b">"].concat()).into(),
            "header.set" => replace.headers(m.with_header("Unit", p)).into(),
            "config" => answer(Ok(config_get(&text).unwrap_or_else(|| "none".to_string()))),
            "config.raw" => answer(Ok(self.config.clone())),
            "log" => {
                for level in [DEBUG, INFO, WARN, ERROR] {
                    log(level, &text);
                }
                Verdict::Pass
            }
            "metric.add" => {
                metric_add(&text, 3);
                Verdict::Pass
            }
            "metric.set" => {
                metric_set(&text, 2.5);
                Verdict::Pass
            }
            "kv.get" => answer(kv_get(&text).map(|b| String::from_utf8_lossy(&b).into_owned())),
            "kv.set" => {
                let (key, value) = text.split_once('=').unwrap_or((&text, ""));
                answer(kv_set(key, value.as_bytes(), 1500).map(|_| "ok".to_string()))
            }
            "kv.delete" => answer(kv_delete(&text).map(|was| (was as i32).to_string())),
            "kv.add" => answer(kv_add(&text, 7, 60_000).map(|n| n.to_string())),
            "emit" => answer(emit(&text, "r", b"NATS/1.0\r\nX: y\r\n\r\n", b"emitted").map(|_| "ok".to_string())),
            "now" => answer(now().map(|n| n.to_string())),
            _ => replace
                .payload(format!(
                    "boundary {}\nhops {}\nsubject {}\nreply {}\nheaders {}\npayload {}\nfacts {}\npresent {}\nsizes {} {}\n",
                    m.boundary,
                    m.hops,
                    hex(m.subject),
                    hex(m.reply),
                    hex(m.headers),
                    hex(p),
                    hex(m.facts),
                    m.present,
                    m.headers_size,
                    m.payload_size
                ))
                .into(),
        }
    }
}

plugin!(Conformance);
