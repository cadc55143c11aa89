//! Rust source without its comments and the contents of its literals, line for line.
//!
//! Rules about names must not trip over a sentence that explains why a name is forbidden. This is a lexer of the
//! few forms that matter, not a parser.

/// Blanks comments, string contents and character literals with spaces; line breaks stay where they are.
pub(crate) fn code_only(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let skipped = comment_length(rest).or_else(|| literal_length(rest));
        // An identifier is taken whole, so that the `r` of `for"` never opens a raw string.
        let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        match skipped {
            Some(length) => {
                out.extend(
                    rest[..length]
                        .chars()
                        .map(|c| if c == '\n' { c } else { ' ' }),
                );
                rest = &rest[length..];
            }
            None => {
                let length = word.max(first.len_utf8());
                out.push_str(&rest[..length]);
                rest = &rest[length..];
            }
        }
    }
    out
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn comment_length(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let mut depth = 0_usize;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    Some(rest.len())
}

fn literal_length(rest: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        rest.strip_prefix(prefix)
            .is_some_and(|after| after.starts_with(['"', '#', '\'']))
    })?;
    let body = &rest[prefix.len()..];
    let raw = prefix.ends_with('r');
    if raw {
        let hashes = body.bytes().take_while(|byte| *byte == b'#').count();
        body[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        let inner = &body[hashes + 1..];
        let length = inner.find(&end).map_or(inner.len(), |at| at + end.len());
        return Some(prefix.len() + hashes + 1 + length);
    }
    if let Some(text) = body.strip_prefix('"') {
        return Some(prefix.len() + 1 + closed_by(text, '"'));
    }
    let character = body.strip_prefix('\'')?;
    // A lifetime has no closing quote after its first character.
    let mut chars = character.chars();
    let closes = match chars.next()? {
        '\\' => true,
        _ => chars.next() == Some('\''),
    };
    closes.then(|| prefix.len() + 1 + closed_by(character, '\''))
}

/// Length up to and including the closing quote; a backslash escapes the character after it.
fn closed_by(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        if !escaped && c == quote {
            return at + 1;
        }
        escaped = !escaped && c == '\\';
    }
    body.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        code_only(source)
            .split_whitespace()
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn comments_are_blanked_and_lines_stay() {
        let source = "let a = 1; // tokio\n/* tokio\n /* nested */ tokio */ let b = 2;\n";
        let code = code_only(source);
        assert!(!code.contains("tokio"));
        assert_eq!(code.lines().count(), source.lines().count());
        assert!(code.contains("let b = 2;"));
    }

    #[test]
    fn literals_are_blanked() {
        assert_eq!(
            words(r#"f("tokio \" tokio", b"tokio") + 1"#),
            ["f(", ",", ")", "+", "1"]
        );
        assert_eq!(words("r#\"tokio \" tokio\"# ; x"), [";", "x"]);
        assert_eq!(words(r"'a' '\'' '\u{1F600}' 'é' end"), ["end"]);
    }

    #[test]
    fn a_comment_sign_in_a_string_opens_no_comment() {
        assert_eq!(
            words("let url = \"https://x\"; after"),
            ["let", "url", "=", ";", "after"]
        );
    }

    #[test]
    fn lifetimes_and_raw_identifiers_are_code() {
        assert_eq!(
            words("fn f<'a>(r: &'a str)"),
            ["fn", "f<'a>(r:", "&'a", "str)"]
        );
        assert_eq!(words("r#type"), ["r#type"]);
        assert_eq!(words("for\"x\" y"), ["for", "y"]);
    }
}
