//! ganglion.rs: Ganglion plugins in Rust, ABI version 1. One file, no crates:
//!
//! ```text
//! rustc --edition 2021 --target wasm32-unknown-unknown --crate-type cdylib \
//!     -C opt-level=3 -C lto -C panic=abort -C strip=symbols -C target-feature=+bulk-memory -o NAME.wasm main.rs
//! ```
//!
//! A plugin is a type that implements `Plugin`, and `plugin!`:
//!
//! ```ignore
//! mod ganglion;
//! use ganglion::*;
//!
//! struct Upper;
//!
//! impl Plugin for Upper {
//!     const MANIFEST: &'static str = r#"{"name": "upper", "version": "1",
//!         "bindings": [{"boundary": "publish", "subjects": ["demo.>"]}]}"#;
//!
//!     fn configure(_config: &str) -> Result<(Self, Want), String> {
//!         Ok((Upper, WANT_PAYLOAD))
//!     }
//!     fn on_message(&mut self, m: &Message) -> Verdict {
//!         Verdict::replace().payload(m.payload.to_ascii_uppercase()).into()
//!     }
//! }
//!
//! plugin!(Upper);
//! ```
//!
//! Rust from 1.63 on will do. One message is handled at a time; there may be several
//! instances, and what they share is the key-value store. A panic logs its text and
//! ends the instance.
#![allow(dead_code)]

use std::cell::UnsafeCell;

// ---- Messages and verdicts ---------------------------------------------------------

/// What of a message is copied into the plugin: WANT_ bits.
pub type Want = i64;

pub const WANT_NOTHING: Want = 0;
pub const WANT_SUBJECT: Want = 1;
pub const WANT_REPLY: Want = 2;
pub const WANT_HEADERS: Want = 4;
pub const WANT_PAYLOAD: Want = 8;
pub const WANT_FACTS: Want = 16;
pub const WANT_ALL: Want = 31;

/// Boundaries.
pub const PUBLISH: u8 = 1;
pub const DELIVER: u8 = 2;
pub const LEAF_OUT: u8 = 3;
pub const LEAF_IN: u8 = 4;
pub const CONNECT: u8 = 5;
pub const SUBSCRIBE: u8 = 6;

/// Bits of `Message::present`.
pub const HAS_REPLY: u8 = 1;
pub const HAS_HEADERS: u8 = 2;
pub const HAS_PAYLOAD: u8 = 4;
pub const HAS_FACTS: u8 = 8;

/// A message at a boundary. What wasn't asked for is empty.
pub struct Message<'a> {
    pub boundary: u8,
    /// What the message has, asked for or not.
    pub present: u8,
    /// How many plugins' emits led to it.
    pub hops: u32,
    /// At subscribe, the pattern. Nothing says that subjects are UTF-8.
    pub subject: &'a [u8],
    /// At subscribe, the queue group.
    pub reply: &'a [u8],
    /// As they go over the wire, NATS/1.0 to the empty line.
    pub headers: &'a [u8],
    pub payload: &'a [u8],
    /// Of the connection, a JSON object.
    pub facts: &'a [u8],
    pub headers_size: u32,
    pub payload_size: u32,
}

impl<'a> Message<'a> {
    /// The first header of that name, letters being as they are.
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        let (start, end) = find_header(self.headers, name)?;
        let mut v = &self.headers[start + name.len() + 1..end];
        while let [b' ' | b'\t', rest @ ..] = v {
            v = rest;
        }
        while let [rest @ .., 0..=32] = v {
            v = rest;
        }
        Some(v)
    }

    /// The headers with the first one of that name set, or a new one, for a replace.
    pub fn with_header(&self, name: &str, value: &[u8]) -> Vec<u8> {
        let from: &[u8] = if self.headers.is_empty() { b"NATS/1.0\r\n\r\n" } else { self.headers };
        let last = from.len() - from.len().min(2);
        let (start, end) = find_header(from, name).unwrap_or((last, last));
        [&from[..start], name.as_bytes(), b": ", value, b"\r\n", &from[end..]].concat()
    }

    fn decode(f: &'a [u8]) -> Option<Message<'a>> {
        let u32_at = |at: usize| u32::from_le_bytes([f[at], f[at + 1], f[at + 2], f[at + 3]]);
        if f.len() < 64 || f[0] != 1 || f[1] != 0 || u32_at(4) as usize != f.len() {
            return None;
        }
        let part = |at: usize| {
            let (start, n) = (u32_at(at) as usize, u32_at(at + 4) as usize);
            f.get(start..start.checked_add(n)?)
        };
        Some(Message {
            boundary: f[2],
            present: f[3],
            hops: u32_at(56),
            subject: part(8)?,
            reply: part(16)?,
            headers: part(24)?,
            payload: part(32)?,
            facts: part(40)?,
            headers_size: u32_at(48),
            payload_size: u32_at(52),
        })
    }
}

/// Where the line of the first header of that name begins, and where the next does.
fn find_header(block: &[u8], name: &str) -> Option<(usize, usize)> {
    let line_end = |at: usize| block[at..].iter().position(|&c| c == b'\n').map(|n| at + n + 1);
    let mut at = line_end(0)?; // behind the status line
    while let Some(end) = line_end(at) {
        if block[at..end].starts_with(name.as_bytes()) && block[at + name.len()] == b':' {
            return Some((at, end));
        }
        at = end;
    }
    None
}

/// What becomes of a message.
pub enum Verdict {
    /// It goes on as it is.
    Pass,
    /// It ends here, and nobody is told.
    Drop,
    /// It ends here, and its publisher is told why. A request is answered with the
    /// code, 100 to 599; 0 is 403. A reason has 256 bytes at most.
    Reject(u16, String),
    /// It goes on as that says.
    Replace(Box<Replace>),
    /// The plugin failed; the error policy of its binding decides.
    Fail,
}

impl Verdict {
    /// Begins a replace: `Verdict::replace().payload(p).into()`.
    pub fn replace() -> Replace {
        Replace::default()
    }
}

/// What is replaced. An empty reply or empty headers are taken away.
#[derive(Default)]
pub struct Replace {
    subject: Option<Vec<u8>>,
    reply: Option<Vec<u8>>,
    headers: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
}

impl Replace {
    pub fn subject(mut self, b: impl Into<Vec<u8>>) -> Self {
        self.subject = Some(b.into());
        self
    }
    pub fn reply(mut self, b: impl Into<Vec<u8>>) -> Self {
        self.reply = Some(b.into());
        self
    }
    /// All headers, from NATS/1.0 to the empty line.
    pub fn headers(mut self, b: impl Into<Vec<u8>>) -> Self {
        self.headers = Some(b.into());
        self
    }
    pub fn payload(mut self, b: impl Into<Vec<u8>>) -> Self {
        self.payload = Some(b.into());
        self
    }
}

impl From<Replace> for Verdict {
    fn from(r: Replace) -> Verdict {
        Verdict::Replace(Box::new(r))
    }
}

/// What a plugin is and does.
pub trait Plugin: Sized {
    /// Its manifest, as JSON.
    const MANIFEST: &'static str;

    /// Called once, with the configuration, a JSON object. An error keeps the plugin
    /// from being loaded and is logged.
    fn configure(config: &str) -> Result<(Self, Want), String>;
    /// Decides what becomes of a message.
    fn on_message(&mut self, m: &Message) -> Verdict;
    /// Called about once a second, with unix nanoseconds.
    fn on_tick(&mut self, _now: i64) {}
    /// Called before the instance is let go.
    fn on_close(&mut self) {}
}

// ---- The host ------------------------------------------------------------------------

mod import {
    #[link(wasm_import_module = "ganglion_v1")]
    extern "C" {
        pub fn log(level: i32, p: *const u8, n: usize);
        pub fn config_get(key: *const u8, n: usize, out: *mut u8, cap: usize) -> i32;
        pub fn metric_add(name: *const u8, n: usize, by: i64);
        pub fn metric_set(name: *const u8, n: usize, v: f64);
        pub fn kv_get(key: *const u8, n: usize, out: *mut u8, cap: usize) -> i32;
        pub fn kv_set(key: *const u8, n: usize, val: *const u8, size: usize, ttl: i64) -> i32;
        pub fn kv_delete(key: *const u8, n: usize) -> i32;
        pub fn kv_add(key: *const u8, n: usize, by: i64, ttl: i64) -> i64;
        pub fn emit(
            s: *const u8, sn: usize, r: *const u8, rn: usize, h: *const u8, hn: usize, d: *const u8, dn: usize,
        ) -> i32;
        pub fn now_ns() -> i64;
    }
}

/// Why the host refused a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused(pub i32);

pub const NOT_FOUND: Refused = Refused(-1);
pub const DENIED: Refused = Refused(-2);
pub const TOO_LARGE: Refused = Refused(-3);
pub const INVALID: Refused = Refused(-4);
pub const FULL: Refused = Refused(-5);

fn check(n: i64) -> Result<i64, Refused> {
    if n < 0 {
        return Err(Refused(n as i32));
    }
    Ok(n)
}

/// Levels of `log`.
pub const DEBUG: i32 = -4;
pub const INFO: i32 = 0;
pub const WARN: i32 = 4;
pub const ERROR: i32 = 8;

/// Writes a line to the host's log.
pub fn log(level: i32, text: &str) {
    unsafe { import::log(level, text.as_ptr(), text.len()) }
}

type Get = unsafe extern "C" fn(*const u8, usize, *mut u8, usize) -> i32;

fn read(get: Get, key: &str) -> Result<Vec<u8>, Refused> {
    let mut b = vec![0; 128];
    loop {
        let n = check(unsafe { get(key.as_ptr(), key.len(), b.as_mut_ptr(), b.len()) } as i64)? as usize;
        let enough = n <= b.len();
        b.resize(n, 0);
        if enough {
            return Ok(b);
        } // another instance may make it longer meanwhile: ask again
    }
}

/// A value of the configuration: strings bare, others as JSON.
pub fn config_get(key: &str) -> Option<String> {
    read(import::config_get, key).ok().and_then(|b| String::from_utf8(b).ok())
}

/// Adds to a counter in the host's metrics.
pub fn metric_add(name: &str, by: i64) {
    unsafe { import::metric_add(name.as_ptr(), name.len(), by) }
}

/// Sets a gauge in the host's metrics.
pub fn metric_set(name: &str, v: f64) {
    unsafe { import::metric_set(name.as_ptr(), name.len(), v) }
}

/// A value of the plugin's store.
pub fn kv_get(key: &str) -> Result<Vec<u8>, Refused> {
    read(import::kv_get, key)
}

/// Sets a value for `ttl` milliseconds; 0 is for ever.
pub fn kv_set(key: &str, value: &[u8], ttl: i64) -> Result<(), Refused> {
    check(unsafe { import::kv_set(key.as_ptr(), key.len(), value.as_ptr(), value.len(), ttl) } as i64).map(|_| ())
}

/// Removes a value and says whether it was there.
pub fn kv_delete(key: &str) -> Result<bool, Refused> {
    check(unsafe { import::kv_delete(key.as_ptr(), key.len()) } as i64).map(|n| n == 1)
}

/// Adds to a decimal number, which is 0 when it isn't there, and returns the sum. No
/// other instance comes between. `ttl` counts for a new key. A sum below zero can't be
/// told from a refusal.
pub fn kv_add(key: &str, by: i64, ttl: i64) -> Result<i64, Refused> {
    check(unsafe { import::kv_add(key.as_ptr(), key.len(), by, ttl) })
}

/// Publishes a message of the plugin's own; reply and headers may be empty.
pub fn emit(subject: &str, reply: &str, headers: &[u8], payload: &[u8]) -> Result<(), Refused> {
    let (s, r, h, d) = (subject.as_bytes(), reply.as_bytes(), headers, payload);
    check(unsafe {
        import::emit(s.as_ptr(), s.len(), r.as_ptr(), r.len(), h.as_ptr(), h.len(), d.as_ptr(), d.len())
    } as i64)
    .map(|_| ())
}

/// Unix nanoseconds, or DENIED ("clock" in the manifest).
pub fn now() -> Result<i64, Refused> {
    check(unsafe { import::now_ns() })
}

// ---- JSON ------------------------------------------------------------------------------

/// JSON, looked at in place: a value is its text.
pub mod json {
    fn skip_space(s: &str) -> &str {
        s.trim_start_matches(|c| matches!(c, ' ' | '\t' | '\n' | '\r'))
    }

    /// The value that `s` begins with, and what is behind it. Nothing checks that all
    /// of it is JSON. Depth is a count, so that no text can exhaust the stack.
    pub fn value(s: &str) -> Option<(&str, &str)> {
        let s = skip_space(s);
        let b = s.as_bytes();
        let (mut depth, mut i) = (0u32, 0);
        while i < b.len() {
            match b[i] {
                b'"' => {
                    i += 1;
                    while *b.get(i)? != b'"' {
                        i += if b[i] == b'\\' { 2 } else { 1 };
                    }
                    i += 1;
                }
                b'{' | b'[' => {
                    depth += 1;
                    i += 1;
                    continue;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    i += 1;
                }
                c if depth > 0 && !plain(c) => {
                    i += 1;
                    continue;
                }
                _ => {
                    let start = i;
                    while i < b.len() && plain(b[i]) {
                        i += 1;
                    }
                    if i == start {
                        return None;
                    }
                }
            }
            if depth == 0 {
                return Some((s.get(..i)?, &s[i..]));
            }
        }
        None
    }

    fn plain(c: u8) -> bool {
        c > b' ' && !matches!(c, b',' | b':' | b'"' | b'{' | b'}' | b'[' | b']')
    }

    /// Walks an array's items (keys are "") or an object's members. Keys have neither
    /// their quotes nor their escapes undone.
    pub fn each(s: &str) -> Each<'_> {
        let s = skip_space(s);
        match s.as_bytes().first() {
            Some(b'{') => Each { rest: &s[1..], object: true },
            Some(b'[') => Each { rest: &s[1..], object: false },
            _ => Each { rest: "", object: false },
        }
    }

    pub struct Each<'a> {
        rest: &'a str,
        object: bool,
    }

    impl<'a> Iterator for Each<'a> {
        type Item = (&'a str, &'a str);

        fn next(&mut self) -> Option<Self::Item> {
            let mut rest = skip_space(self.rest);
            rest = rest.strip_prefix(',').unwrap_or(rest);
            let mut key = "";
            if self.object {
                let (k, r) = value(rest)?;
                key = k.strip_prefix('"')?.strip_suffix('"')?;
                rest = skip_space(r).strip_prefix(':')?;
            }
            let (v, r) = value(rest)?;
            self.rest = r;
            Some((key, v))
        }
    }

    /// A member of an object.
    pub fn get<'a>(object: &'a str, key: &str) -> Option<&'a str> {
        if !skip_space(object).starts_with('{') {
            return None;
        }
        each(object).find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// A string without its quotes and escapes; other values as they are.
    pub fn text(v: &str) -> String {
        let inner = match v.strip_prefix('"').and_then(|v| v.strip_suffix('"')) {
            Some(inner) => inner,
            None => return v.to_string(),
        };
        let mut out = String::with_capacity(inner.len());
        let mut chars = inner.chars();
        let mut high = 0;
        while let Some(c) = chars.next() {
            if c != '\\' {
                out.push(c);
                continue;
            }
            match chars.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some('b') => out.push('\u{8}'),
                Some('f') => out.push('\u{c}'),
                Some('u') => {
                    let unit = chars.by_ref().take(4).fold(0, |n, c| n * 16 + c.to_digit(16).unwrap_or(0));
                    match unit {
                        0xd800..=0xdbff => high = unit,
                        0xdc00..=0xdfff if high > 0 => {
                            let r = 0x10000 + ((high & 0x3ff) << 10) + (unit & 0x3ff);
                            out.push(char::from_u32(r).unwrap_or('\u{fffd}'));
                            high = 0;
                        }
                        _ => out.push(char::from_u32(unit).unwrap_or('\u{fffd}')),
                    }
                }
                Some(c) => out.push(c),
                None => {}
            }
        }
        out
    }

    /// Appends `s` as a JSON string.
    pub fn quote(out: &mut String, s: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        out.push('"');
        let mut plain = 0; // where what needs no escape begins
        for (i, c) in s.bytes().enumerate() {
            if c >= b' ' && c != b'"' && c != b'\\' {
                continue;
            }
            out.push_str(&s[plain..i]);
            plain = i + 1;
            match c {
                b'"' | b'\\' => out.extend(['\\', c as char]),
                b'\n' => out.push_str("\\n"),
                _ => {
                    out.push_str("\\u00");
                    out.push(HEX[c as usize >> 4] as char);
                    out.push(HEX[c as usize & 15] as char);
                }
            }
        }
        out.push_str(&s[plain..]);
        out.push('"');
    }
}

// ---- Exports ---------------------------------------------------------------------------

/// Instance is what the exports work on. It is what `plugin!` makes, and nothing else.
pub struct Instance<P: Plugin>(UnsafeCell<State<P>>);

struct State<P> {
    room: Vec<u64>,
    plugin: Option<P>,
    verdict: Verdict,
    result: [u32; 12],
}

// A module has one thread.
unsafe impl<P: Plugin> Sync for Instance<P> {}

fn pack(p: *const u8, n: usize) -> i64 {
    (p as usize as i64) << 32 | n as i64
}

impl<P: Plugin> Instance<P> {
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Instance(UnsafeCell::new(State { room: Vec::new(), plugin: None, verdict: Verdict::Pass, result: [0; 12] }))
    }

    #[allow(clippy::mut_from_ref)]
    fn state(&self) -> &mut State<P> {
        unsafe { &mut *self.0.get() }
    }

    pub fn manifest(&self) -> i64 {
        pack(P::MANIFEST.as_ptr(), P::MANIFEST.len())
    }

    pub fn alloc(&self, size: usize) -> *mut u8 {
        let s = self.state();
        s.room = Vec::new(); // given back first
        if s.room.try_reserve_exact(size / 8 + 1).is_err() {
            return std::ptr::null_mut();
        }
        s.room.as_mut_ptr() as *mut u8
    }

    /// # Safety
    /// p and n are room that alloc gave.
    pub unsafe fn configure(&self, p: *const u8, n: usize) -> i64 {
        std::panic::set_hook(Box::new(|info| log(ERROR, &info.to_string())));
        let config = std::str::from_utf8(std::slice::from_raw_parts(p, n)).unwrap_or("{}");
        match P::configure(config) {
            Ok((plugin, want)) => {
                self.state().plugin = Some(plugin);
                want
            }
            Err(text) => {
                log(ERROR, &text);
                INVALID.0 as i64
            }
        }
    }

    /// # Safety
    /// p and n are room that alloc gave.
    pub unsafe fn on_message(&self, p: *const u8, n: usize) -> i64 {
        let s = self.state();
        let (plugin, m) = match (&mut s.plugin, Message::decode(std::slice::from_raw_parts(p, n))) {
            (Some(plugin), Some(m)) => (plugin, m),
            _ => return INVALID.0 as i64,
        };
        s.verdict = plugin.on_message(&m); // until the next message
        let r = &mut s.result;
        match &s.verdict {
            Verdict::Pass => return 0,
            Verdict::Drop => return 1,
            Verdict::Fail => return INVALID.0 as i64,
            Verdict::Reject(0, reason) if reason.is_empty() => return 2,
            Verdict::Reject(code, reason) => {
                r[0] = 2 | (*code as u32) << 16;
                r[10] = reason.as_ptr() as usize as u32;
                r[11] = reason.len().min(256) as u32;
            }
            Verdict::Replace(x) => {
                let mut replaced = 0;
                for (i, part) in [&x.subject, &x.reply, &x.headers, &x.payload].into_iter().enumerate() {
                    if let Some(b) = part {
                        replaced |= 1 << i;
                        r[2 + 2 * i] = b.as_ptr() as usize as u32;
                        r[3 + 2 * i] = b.len() as u32;
                    }
                }
                r[0] = 3 | replaced << 8;
            }
        }
        pack(s.result.as_ptr() as *const u8, 48)
    }

    pub fn on_tick(&self, now: i64) {
        if let Some(plugin) = &mut self.state().plugin {
            plugin.on_tick(now);
        }
    }

    pub fn on_close(&self) {
        if let Some(plugin) = &mut self.state().plugin {
            plugin.on_close();
        }
    }
}

/// Makes the module a plugin of that type.
#[macro_export]
macro_rules! plugin {
    ($type:ty) => {
        static INSTANCE: ganglion::Instance<$type> = ganglion::Instance::new();

        #[no_mangle]
        pub extern "C" fn ganglion_abi_v1() {}
        #[no_mangle]
        pub extern "C" fn ganglion_manifest() -> i64 {
            INSTANCE.manifest()
        }
        #[no_mangle]
        pub extern "C" fn ganglion_alloc(size: usize) -> *mut u8 {
            INSTANCE.alloc(size)
        }
        #[no_mangle]
        pub unsafe extern "C" fn ganglion_configure(p: *const u8, n: usize) -> i64 {
            INSTANCE.configure(p, n)
        }
        #[no_mangle]
        pub unsafe extern "C" fn ganglion_on_message(p: *const u8, n: usize) -> i64 {
            INSTANCE.on_message(p, n)
        }
        #[no_mangle]
        pub extern "C" fn ganglion_on_tick(now: i64) {
            INSTANCE.on_tick(now)
        }
        #[no_mangle]
        pub extern "C" fn ganglion_close() {
            INSTANCE.on_close()
        }
    };
}
