//! Rust text as words and signs, without comments, strings and what only tests use.
//!
//! Must not know what the words mean.

/// A word, a sign, or `::`; every string, number and lifetime is left out, but for the
/// name of a feature.
pub(crate) type Token = String;

/// The tokens of a file, tests included.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let c = chars[at];
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        if c == '/' && next == '/' {
            at = find(&chars, at, "\n");
        } else if c == '/' && next == '*' {
            at = after_comment(&chars, at);
        } else if let Some(end) = after_string(&chars, at) {
            // Which feature is meant decides whether it is for tests.
            let feature = tokens.iter().rev().take(2).eq(["=", "feature"]);
            if feature {
                tokens.push(chars[at + 1..end - 1].iter().collect());
            }
            at = end;
        } else if c == '\'' {
            at = after_quote(&chars, at);
        } else if is_word(c) {
            let end = end_of_word(&chars, at);
            if !c.is_ascii_digit() {
                tokens.push(chars[at..end].iter().collect());
            }
            at = end;
        } else if c == ':' && next == ':' {
            tokens.push("::".to_owned());
            at += 2;
        } else {
            if !c.is_whitespace() {
                tokens.push(c.to_string());
            }
            at += 1;
        }
    }
    tokens
}

/// Leaves out every item, statement and field with an attribute that takes it out of the program
/// that is shipped: `cfg(test)`, and `cfg` of a feature for tests together with it.
pub(crate) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    without(tokens, is_test_only)
}

/// Leaves out every item, statement and field with an attribute that `is_out` says so of.
pub(crate) fn without(tokens: &[Token], is_out: impl Fn(&[Token]) -> bool) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if is_out(&tokens[at..]) {
            at = after_item(tokens, after_group(tokens, at + 1));
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// Whether an attribute begins here that only tests satisfy.
pub(crate) fn is_test_only(tokens: &[Token]) -> bool {
    if !starts(tokens, &["#", "[", "cfg", "("]) {
        return false;
    }
    let attribute = &tokens[..after_group(tokens, 1)];
    let has = |word: &str| attribute.iter().any(|token| token == word);
    (has("test") || has("testing")) && !has("not")
}

/// Whether `tokens` begin with `words`.
pub(crate) fn starts(tokens: &[Token], words: &[&str]) -> bool {
    tokens.len() >= words.len() && tokens.iter().zip(words).all(|(token, word)| token == word)
}

/// Where the group ends whose opening bracket is at `at`.
pub(crate) fn after_group(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0usize;
    for (n, token) in tokens.iter().enumerate().skip(at) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => continue,
        }
        if depth == 0 {
            return n + 1;
        }
    }
    tokens.len()
}

/// Where the item ends that begins at `at`: behind its braces, its semicolon or its comma.
fn after_item(tokens: &[Token], mut at: usize) -> usize {
    while at < tokens.len() {
        match tokens[at].as_str() {
            ";" | "," => return at + 1,
            "{" => return after_group(tokens, at),
            "(" | "[" => at = after_group(tokens, at),
            "}" => return at,
            _ => at += 1,
        }
    }
    at
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn end_of_word(chars: &[char], at: usize) -> usize {
    let rest = chars[at..].iter().position(|&c| !is_word(c));
    rest.map_or(chars.len(), |n| at + n)
}

/// Where `what` ends that comes first from `at` on.
fn find(chars: &[char], at: usize, what: &str) -> usize {
    let what: Vec<char> = what.chars().collect();
    let found = chars[at..].windows(what.len()).position(|w| w == what);
    found.map_or(chars.len(), |n| at + n + what.len())
}

fn after_comment(chars: &[char], at: usize) -> usize {
    let (mut at, mut depth) = (at + 2, 1);
    while at + 1 < chars.len() && depth > 0 {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (at, depth) = (at + 2, depth + 1),
            ('*', '/') => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
    }
    at
}

/// Where the string ends that begins at `at`, if one does.
fn after_string(chars: &[char], at: usize) -> Option<usize> {
    let mut quote = at;
    while matches!(chars.get(quote), Some('b' | 'c' | 'r')) && quote < at + 2 {
        quote += 1;
    }
    let raw = chars[at..quote].contains(&'r');
    let hashes = chars[quote..].iter().take_while(|&&c| c == '#').count();
    if raw && chars.get(quote + hashes) == Some(&'"') {
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(find(chars, quote + hashes + 1, &end));
    }
    if chars.get(quote) != Some(&'"') {
        return None;
    }
    let mut at = quote + 1;
    while at < chars.len() && chars[at] != '"' {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    Some(at + 1)
}

/// Where the character or the lifetime ends that begins at `at`.
fn after_quote(chars: &[char], at: usize) -> usize {
    if chars.get(at + 1) == Some(&'\\') {
        return find(chars, at + 3, "'");
    }
    if chars.get(at + 2) == Some(&'\'') {
        return at + 3;
    }
    end_of_word(chars, at + 1)
}
