//! One line of JSON Lines as a form.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;

use super::{Column, Form, FormFault};

/// A form read from an object, with the faults of its members.
struct Parsed {
    form: Form,
    faults: Vec<FormFault>,
}

/// Reads one object. A syntax error is one fault of the row; otherwise every member's fault is gathered.
pub(super) fn form_of(line: &str) -> Result<Form, Vec<FormFault>> {
    match serde_json::from_str::<Parsed>(line) {
        Ok(parsed) if parsed.faults.is_empty() => Ok(parsed.form),
        Ok(parsed) => Err(parsed.faults),
        Err(error) => {
            // The library's own text may quote the value, which is personal data.
            let message = match error.classify() {
                Category::Eof => format!(
                    "JSON ends inside the object, after character {}",
                    error.column()
                ),
                Category::Data => "row must be a JSON object".to_owned(),
                Category::Syntax | Category::Io => {
                    format!("JSON syntax error at character {}", error.column())
                }
            };
            Err(vec![FormFault::of_row(message)])
        }
    }
}

impl<'de> Deserialize<'de> for Parsed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Parsed;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parsed, A::Error> {
        let mut parsed = Parsed {
            form: Form::new(),
            faults: Vec::new(),
        };
        let mut seen = vec![false; super::COLUMNS.len()];
        while let Some(name) = map.next_key::<String>()? {
            let Some(column) = Column::of_name(&name) else {
                map.next_value::<IgnoredAny>()?;
                parsed
                    .faults
                    .push(FormFault::of_row("object has a member that is no column"));
                continue;
            };
            if std::mem::replace(&mut seen[column.position()], true) {
                parsed
                    .faults
                    .push(FormFault::of(column, "stands more than once in the object"));
            }
            match map.next_value::<Member>()? {
                Member::Text(text) => parsed.form.set(column, text),
                Member::Other => parsed
                    .faults
                    .push(FormFault::of(column, "must be a string")),
            }
        }
        Ok(parsed)
    }
}

/// A member's value: text, a null that counts as empty, or something else.
enum Member {
    Text(String),
    Other,
}

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => Self::Text(text),
            serde_json::Value::Null => Self::Text(String::new()),
            _ => Self::Other,
        })
    }
}
