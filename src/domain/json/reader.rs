//! The parser: one pass over the text, which builds the value.

use serde_json::{Map, Value, map::Entry};

use super::{DEPTH_MAX, Document, JsonError, NAME_LENGTH_MAX, VALUES_MAX, number};

/// How much of a name an error shows.
const SHOWN_CHARS_MAX: usize = 64;

pub(super) struct Reader<'a> {
    text: &'a str,
    /// The next byte. Always at the beginning of a character.
    at: usize,
    depth: usize,
    values: usize,
    values_max: usize,
    exact: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0, values: 0, values_max: VALUES_MAX, exact: true }
    }

    /// Allows so many values in place of [`VALUES_MAX`].
    pub(super) fn allow(self, values_max: usize) -> Self {
        Self { values_max, ..self }
    }

    pub(super) fn document(mut self) -> Result<Document, JsonError> {
        let value = self.value()?;
        match self.after_space() {
            None => Ok(Document { value, exact: self.exact }),
            Some(_) => self.fail("expected the end of the text"),
        }
    }

    fn value(&mut self) -> Result<Value, JsonError> {
        self.values += 1;
        if self.values_max < self.values {
            return Err(JsonError::TooMany(self.values_max));
        }
        match self.after_space() {
            Some(b'"') => self.string().map(Value::String),
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true", Value::Bool(true)),
            Some(b'f') => self.literal("false", Value::Bool(false)),
            Some(b'n') => self.literal("null", Value::Null),
            Some(_) => self.fail("expected a value"),
            None => self.fail("the text ends too early"),
        }
    }

    /// Reads the inside of an object or array, behind the bracket that opens it.
    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Value, JsonError>,
    ) -> Result<Value, JsonError> {
        if self.depth == DEPTH_MAX {
            return Err(JsonError::TooDeep);
        }
        self.depth += 1;
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Value, JsonError> {
        let mut members = Map::new();
        if self.after_space() == Some(b'}') {
            self.at += 1;
            return Ok(Value::Object(members));
        }
        loop {
            match self.after_space() {
                Some(b'"') => {}
                Some(_) => return self.fail("expected the name of a member"),
                None => return self.fail("the text ends too early"),
            }
            let name = self.string()?;
            if NAME_LENGTH_MAX < name.len() {
                return Err(JsonError::LongName);
            }
            self.expect(b':', "expected `:`")?;
            let value = self.value()?;
            match members.entry(name) {
                Entry::Vacant(member) => member.insert(value),
                Entry::Occupied(member) => {
                    let shown = member.key().chars().take(SHOWN_CHARS_MAX).collect();
                    return Err(JsonError::Repeated(shown));
                }
            };
            if self.ends(b'}', "expected `,` or `}`")? {
                return Ok(Value::Object(members));
            }
        }
    }

    fn array(&mut self) -> Result<Value, JsonError> {
        let mut elements = Vec::new();
        if self.after_space() == Some(b']') {
            self.at += 1;
            return Ok(Value::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            if self.ends(b']', "expected `,` or `]`")? {
                return Ok(Value::Array(elements));
            }
        }
    }

    /// Moves behind a comma, or behind the bracket that ends the object or array. Returns whether it
    /// was the bracket.
    fn ends(&mut self, bracket: u8, problem: &'static str) -> Result<bool, JsonError> {
        match self.after_space() {
            Some(byte) if byte == bracket || byte == b',' => {
                self.at += 1;
                Ok(byte == bracket)
            }
            Some(_) => self.fail(problem),
            None => self.fail("the text ends too early"),
        }
    }

    fn expect(&mut self, wanted: u8, problem: &'static str) -> Result<(), JsonError> {
        match self.after_space() {
            Some(byte) if byte == wanted => {
                self.at += 1;
                Ok(())
            }
            Some(_) => self.fail(problem),
            None => self.fail("the text ends too early"),
        }
    }

    fn literal(&mut self, literal: &str, value: Value) -> Result<Value, JsonError> {
        if self.text[self.at..].starts_with(literal) {
            self.at += literal.len();
            Ok(value)
        } else {
            self.fail("expected a value")
        }
    }

    /// Reads a string, from the quote that begins it.
    fn string(&mut self) -> Result<String, JsonError> {
        self.at += 1;
        let mut read = String::new();
        let mut run = self.at;
        loop {
            let rest = &self.text.as_bytes()[self.at..];
            let Some(plain) = rest.iter().position(|byte| ENDS_RUN[usize::from(*byte)]) else {
                self.at = self.text.len();
                return self.fail("the text ends too early");
            };
            self.at += plain;
            let text = &self.text[run..self.at];
            match rest[plain] {
                b'"' => {
                    self.at += 1;
                    // Most strings have no escape and are copied once.
                    if read.is_empty() {
                        return Ok(text.to_owned());
                    }
                    read.push_str(text);
                    return Ok(read);
                }
                b'\\' => {
                    read.push_str(text);
                    read.push(self.escape()?);
                    run = self.at;
                }
                _ => return self.fail("a control character in a string"),
            }
        }
    }

    /// Reads an escape, from its backslash (RFC 8259 §7).
    fn escape(&mut self) -> Result<char, JsonError> {
        let begin = self.at;
        let letter = self.text.as_bytes().get(begin + 1).copied();
        self.at += 2;
        let character = match letter {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let Some(character) = self.utf16() else {
                    self.at = begin;
                    return self.fail("an escape that stands for no character");
                };
                character
            }
            _ => {
                self.at = begin;
                return self.fail("an unknown escape");
            }
        };
        Ok(character)
    }

    /// Reads the four digits of a code unit, and those of a second one if the first asks for it.
    fn utf16(&mut self) -> Option<char> {
        let first = self.code_unit()?;
        let is_leading = (0xd800..0xdc00).contains(&first);
        let second = if is_leading { Some(self.second_code_unit()?) } else { None };
        let mut characters = char::decode_utf16([first].into_iter().chain(second));
        characters.next()?.ok()
    }

    fn second_code_unit(&mut self) -> Option<u16> {
        self.text[self.at..].starts_with("\\u").then(|| self.at += 2)?;
        self.code_unit()
    }

    fn code_unit(&mut self) -> Option<u16> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        self.at += 4;
        hex.then(|| u16::from_str_radix(digits, 16).ok())?
    }

    fn number(&mut self) -> Result<Value, JsonError> {
        let begin = self.at;
        if self.here() == Some(b'-') {
            self.at += 1;
        }
        if self.here() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.here() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.here() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.here() {
                self.at += 1;
            }
            self.digits()?;
        }
        let (number, exact) = number::parse(&self.text[begin..self.at]);
        self.exact &= exact;
        Ok(Value::Number(number))
    }

    /// Moves behind one digit or more.
    fn digits(&mut self) -> Result<(), JsonError> {
        let begin = self.at;
        while self.here().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == begin { self.fail("expected a digit") } else { Ok(()) }
    }

    fn here(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Moves behind white space, and returns the byte there.
    fn after_space(&mut self) -> Option<u8> {
        loop {
            match self.here() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    fn fail<T>(&self, problem: &'static str) -> Result<T, JsonError> {
        Err(JsonError::Malformed { problem, at: self.at })
    }
}

/// The bytes that end a run of characters which stand for themselves.
const ENDS_RUN: [bool; 256] = {
    let mut ends = [false; 256];
    let mut byte = 0;
    while byte < 0x20 {
        ends[byte] = true;
        byte += 1;
    }
    ends[b'"' as usize] = true;
    ends[b'\\' as usize] = true;
    ends
};
