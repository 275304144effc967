//! From CBOR to JSON, RFC 8949 sections 3 and 6.1.

use crate::ganglion::json;
use std::borrow::Cow;

/// How deep arrays, maps and tags may lie in each other.
const MAX_DEPTH: u32 = 64;

/// The one item that `b` is, as JSON; None when it is not one.
pub fn to_json(b: &[u8]) -> Option<String> {
    let mut r = Reader { rest: b, out: String::with_capacity(2 * b.len()) };
    r.item(0)?;
    r.rest.is_empty().then(|| r.out)
}

struct Reader<'a> {
    rest: &'a [u8],
    out: String,
}

/// The argument of an item's head: a number, or that the item ends with a break.
enum Argument {
    Value(u64),
    Indefinite,
}
use Argument::*;

impl<'a> Reader<'a> {
    fn take(&mut self, n: u64) -> Option<&'a [u8]> {
        if n > self.rest.len() as u64 {
            return None;
        }
        let (b, rest) = self.rest.split_at(n as usize);
        self.rest = rest;
        Some(b)
    }

    fn head(&mut self) -> Option<(u8, u8, Argument)> {
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 31);
        let argument = match info {
            0..=23 => Value(info as u64),
            24..=27 => Value(self.take(1 << (info - 24))?.iter().fold(0, |n, c| n << 8 | *c as u64)),
            31 => Indefinite,
            _ => return None,
        };
        Some((major, info, argument))
    }

    /// Whether a break is next; it is read then.
    fn at_break(&mut self) -> bool {
        let is = self.rest.first() == Some(&0xff);
        if is {
            self.rest = &self.rest[1..];
        }
        is
    }

    fn item(&mut self, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match self.head()? {
            (0, _, Value(n)) => self.int(n),
            (1, _, Value(n)) => self.out.push_str(&(-1 - n as i128).to_string()),
            (2, _, n) => {
                let b = self.string(2, n)?;
                self.out.push('"');
                base64url(&mut self.out, &b);
                self.out.push('"');
            }
            (3, _, n) => {
                let b = self.string(3, n)?;
                json::quote(&mut self.out, std::str::from_utf8(&b).ok()?);
            }
            (4, _, n) => self.items(n, '[', ']', |r| r.item(depth + 1))?,
            (5, _, n) => self.items(n, '{', '}', |r| {
                r.key(depth + 1)?;
                r.out.push(':');
                r.item(depth + 1)
            })?,
            (6, _, Value(_)) => self.item(depth + 1)?,
            (7, 20, _) => self.out.push_str("false"),
            (7, 21, _) => self.out.push_str("true"),
            (7, 22 | 23, _) => self.out.push_str("null"),
            (7, 25, Value(n)) => self.float(half(n as u16)),
            (7, 26, Value(n)) => self.float(f32::from_bits(n as u32) as f64),
            (7, 27, Value(n)) => self.float(f64::from_bits(n)),
            (7, 0..=24, Value(n)) => self.out.push_str(&n.to_string()), // a simple value without a name
            _ => return None,
        }
        Some(())
    }

    fn items(&mut self, n: Argument, open: char, close: char, each: impl Fn(&mut Self) -> Option<()>) -> Option<()> {
        self.out.push(open);
        let mut i = 0;
        while match n {
            Value(n) => i < n,
            Indefinite => !self.at_break(),
        } {
            if i > 0 {
                self.out.push(',');
            }
            each(self)?;
            i += 1;
        }
        self.out.push(close);
        Some(())
    }

    /// A key of a map: what is no string in JSON is made one.
    fn key(&mut self, depth: u32) -> Option<()> {
        let start = self.out.len();
        self.item(depth)?;
        if !self.out[start..].starts_with('"') {
            let text = self.out.split_off(start);
            json::quote(&mut self.out, &text);
        }
        Some(())
    }

    /// The bytes of a string, which may come in pieces.
    fn string(&mut self, kind: u8, n: Argument) -> Option<Cow<'a, [u8]>> {
        if let Value(n) = n {
            return self.take(n).map(Cow::Borrowed);
        }
        let mut all = Vec::new();
        while !self.at_break() {
            match self.head()? {
                (major, _, Value(n)) if major == kind => all.extend_from_slice(self.take(n)?),
                _ => return None,
            }
        }
        Some(Cow::Owned(all))
    }

    fn int(&mut self, mut n: u64) {
        let mut digits = [0; 20];
        let mut i = digits.len();
        loop {
            i -= 1;
            digits[i] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        self.out.extend(digits[i..].iter().map(|d| *d as char));
    }

    fn float(&mut self, v: f64) {
        // Most have few decimals, and need none of the work of printing any number: the
        // quotient of two whole numbers, rounded once, is what their decimals are read as.
        let scaled = (v.abs() * 1e4).round();
        if scaled < 1e15 && scaled / 1e4 == v.abs() && v != 0.0 {
            let scaled = scaled as u64;
            if v < 0.0 {
                self.out.push('-');
            }
            self.int(scaled / 10_000);
            let (mut rest, mut unit) = (scaled % 10_000, 1000);
            if rest > 0 {
                self.out.push('.');
            }
            while rest > 0 {
                self.out.push((b'0' + (rest / unit) as u8) as char);
                rest %= unit;
                unit /= 10;
            }
            return;
        }
        let text = match v.abs() {
            a if !a.is_finite() => "null".to_string(),
            a if a != 0.0 && !(1e-6..1e17).contains(&a) => format!("{:e}", v), // not hundreds of zeros
            _ => v.to_string(),
        };
        self.out.push_str(&text);
    }
}

/// IEEE 754 half precision, RFC 8949 appendix D.
fn half(n: u16) -> f64 {
    let (exponent, mantissa) = ((n >> 10 & 31) as i32, (n & 1023) as f64);
    let v = match exponent {
        0 => mantissa * 2f64.powi(-24),
        31 => f64::NAN, // or an infinity: null both
        _ => (1024.0 + mantissa) * 2f64.powi(exponent - 25),
    };
    if n >> 15 == 1 {
        -v
    } else {
        v
    }
}

fn base64url(out: &mut String, b: &[u8]) {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for part in b.chunks(3) {
        let n = (0..3).fold(0, |n, i| n << 8 | *part.get(i).unwrap_or(&0) as usize);
        for i in 0..part.len() + 1 {
            out.push(DIGITS[n >> (18 - 6 * i) & 63] as char);
        }
    }
}
