//! The golden file, and how it is compared.

use std::collections::BTreeMap;

use essaim_contract::{Ask, JsonSchema, Message, Schemas, wire_name};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::support::repository;

/// Forms as they are encoded now, in the order in which they were added.
pub struct Record {
    forms: Vec<Form>,
    /// What does not fit what its contract says of it, in words.
    misfits: Vec<String>,
}

struct Form {
    /// The wire name and what it is: `orders.place.v1 message`.
    name: String,
    bytes: Vec<u8>,
    /// Decodes and encodes again: shows how old bytes are understood now.
    again: fn(&[u8]) -> Result<Vec<u8>, String>,
}

impl Record {
    pub fn new() -> Self {
        Self { forms: Vec::new(), misfits: Vec::new() }
    }

    /// Adds a message with a reply and each of its business errors.
    pub fn ask<M: Ask>(&mut self, message: M, reply: M::Reply, errors: impl IntoIterator<Item = M::Error>) {
        let name = wire_name::<M>();
        let schemas = self.described(&message, true);
        self.fits(&format!("{name} reply"), schemas.reply.as_ref(), &reply);
        self.form(format!("{name} message"), &message);
        self.form(format!("{name} reply"), &reply);
        for (number, error) in errors.into_iter().enumerate() {
            let form = format!("{name} error-{}", number + 1);
            self.fits(&form, schemas.error.as_ref(), &error);
            self.form(form, &error);
        }
    }

    /// Adds a message that nobody answers.
    pub fn message<M: Message>(&mut self, message: M) {
        self.described(&message, false);
        self.form(format!("{} message", wire_name::<M>()), &message);
    }

    /// Holds a message against what its contract says of it.
    fn described<M: Message>(&mut self, message: &M, is_ask: bool) -> Schemas {
        let (name, schemas) = (wire_name::<M>(), M::json_schemas());
        self.fits(&format!("{name} message"), schemas.message.as_ref(), message);
        if is_ask != schemas.reply.is_some() {
            self.misfits.push(format!("{name}: ask_schemas! is for asks, and message_schema! for all others"));
        }
        if let Some(field) = M::KEY_FIELD {
            let value = serde_json::to_value(message).expect("a sample is JSON");
            let (field_is, key) = (value[field].as_str().map(String::from), message.key().map(|key| key.into_owned()));
            if field_is != key || key.is_none() {
                self.misfits.push(format!("{name}: its key is {key:?}, and not its field `{field}`"));
            }
        }
        schemas
    }

    /// Holds a value against its schema.
    fn fits<T: Serialize>(&mut self, form: &str, schema: Option<&JsonSchema>, value: &T) {
        let Some(schema) = schema else {
            return self.misfits.push(format!("{form}: its contract does not tell its schema"));
        };
        let schema = serde_json::from_str(schema.as_str()).expect("a schema is JSON");
        let meta = jsonschema::meta::validate(&schema).map_err(|e| e.to_string());
        let value = serde_json::to_value(value).expect("a sample is JSON");
        let fits = jsonschema::draft202012::validate(&schema, &value).map_err(|e| e.to_string());
        for why in [meta, fits].into_iter().filter_map(Result::err) {
            self.misfits.push(format!("{form}: {why} ({value} against {schema})"));
        }
    }

    /// Fails unless all forms are as their contracts say.
    #[track_caller]
    pub fn is_as_described(&self) {
        assert!(self.misfits.is_empty(), "{}", self.misfits.join("\n"));
    }

    /// Adds any other form.
    pub fn form<T: Serialize + DeserializeOwned>(&mut self, name: String, value: &T) {
        let again = |bytes: &[u8]| {
            let value: T = rmp_serde::from_slice(bytes).map_err(|e| e.to_string())?;
            rmp_serde::to_vec_named(&value).map_err(|e| e.to_string())
        };
        let bytes = rmp_serde::to_vec_named(value).expect("a sample can be encoded");
        assert_eq!(again(&bytes).as_ref(), Ok(&bytes), "{name} does not survive the wire");
        assert!(self.forms.iter().all(|f| f.name != name), "two samples of {name}");
        self.forms.push(Form { name, bytes, again });
    }

    /// Adds bytes that are made or taken as they are.
    pub fn raw(&mut self, name: String, bytes: Vec<u8>) {
        self.forms.push(Form { name, bytes, again: |bytes| Ok(bytes.to_vec()) });
    }

    /// Fails unless the file has exactly these forms, and what it has is still understood.
    #[track_caller]
    pub fn compare(&self, file: &str) {
        let path = repository().join(file);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let mut golden: BTreeMap<String, Vec<u8>> = text.lines().map(read_line).collect();
        if std::env::var_os("ESSAIM_BLESS").is_some() {
            let lines: String = self.forms.iter().map(|f| format!("{} {}\n", f.name, hexadecimal(&f.bytes))).collect();
            return std::fs::write(&path, lines).expect("the golden file can be written");
        }
        let mut wrong = Vec::new();
        for form in &self.forms {
            match golden.remove(&form.name) {
                None => wrong.push(format!("{} is new (ESSAIM_BLESS=1 adds it)", form.name)),
                Some(bytes) if bytes == form.bytes => {}
                Some(bytes) => wrong.push(format!(
                    "{} has changed: older nodes say {}, and this node would understand {}; it says {}",
                    form.name,
                    readable(&bytes),
                    (form.again)(&bytes).map_or_else(|e| e, |b| readable(&b)),
                    readable(&form.bytes),
                )),
            }
        }
        wrong.extend(golden.into_keys().map(|name| format!("{name} is gone; do no older nodes send it?")));
        assert!(wrong.is_empty(), "{file}:\n{}", wrong.join("\n"));
    }
}

fn read_line(line: &str) -> (String, Vec<u8>) {
    let (name, bytes) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a line of the golden file: {line}"));
    let digits = bytes.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).expect("digits are ASCII"));
    (name.to_string(), digits.map(|d| u8::from_str_radix(d, 16).expect("it is hexadecimal")).collect())
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// MessagePack as a person reads it.
fn readable(bytes: &[u8]) -> String {
    match rmp_serde::from_slice::<serde_json::Value>(bytes) {
        Ok(value) => value.to_string(),
        Err(_) => hexadecimal(bytes),
    }
}

#[test]
fn hexadecimal_lines_are_read_back() {
    let line = format!("orders.place.v1 error-2 {}", hexadecimal(&[0, 255, 16]));
    assert_eq!(read_line(&line), ("orders.place.v1 error-2".to_string(), vec![0, 255, 16]));
}
