//! The calls that the load generator makes to PostgreSQL, with prepared statements.

use super::{PRINCIPAL, Session};
use crate::load::{Failure, Target};
use crate::persons::Registration;
use crate::systems::raw::RawSource;
use crate::systems::{Pins, Source};

/// Registrations through the function, on a connection each.
pub(crate) struct Registrations {
    pub(super) sessions: Vec<Session>,
    pub(super) source: Source,
}

impl Target for Registrations {
    type Request = (Registration, [u8; 16]);

    fn request(&self, _slot: usize) -> (Registration, [u8; 16]) {
        (self.source.next(), *banyan_client::new_key().as_bytes())
    }

    async fn call(
        &self,
        slot: usize,
        (person, key): (Registration, [u8; 16]),
    ) -> Result<u64, Failure> {
        let session = &self.sessions[slot % self.sessions.len()];
        let (cmnd, birth_date) = person.data().map_or((None, String::new()), |data| {
            let cmnd = (!data.cmnd.is_empty()).then_some(data.cmnd.as_str());
            let birth = data.birth_date.unwrap_or_default();
            let text = format!("{:04}-{:02}-{:02}", birth.year, birth.month, birth.day);
            (cmnd, text)
        });
        let (name, record) = (person.name(), person.record());
        session
            .client
            .query_one(
                &session.statement,
                &[
                    &PRINCIPAL,
                    &key.as_slice(),
                    &person.pin,
                    &cmnd,
                    &person.form(),
                    &name,
                    &birth_date,
                    &person.command.office,
                    &record,
                ],
            )
            .await
            .map_err(|error| told(&error))?;
        Ok(1)
    }
}

/// Raw values by key, on a connection each.
pub(crate) struct Puts {
    pub(super) sessions: Vec<Session>,
    pub(super) source: RawSource,
}

impl Target for Puts {
    type Request = (String, Vec<u8>);

    fn request(&self, _slot: usize) -> (String, Vec<u8>) {
        self.source.next()
    }

    async fn call(&self, slot: usize, (key, value): (String, Vec<u8>)) -> Result<u64, Failure> {
        let session = &self.sessions[slot % self.sessions.len()];
        session
            .client
            .execute(&session.statement, &[&key, &value])
            .await
            .map_err(|error| told(&error).into())
    }
}

/// Reads by number at the standbys.
pub(crate) struct Reads {
    pub(super) sessions: Vec<Session>,
    pub(super) pins: Pins,
}

impl Target for Reads {
    type Request = String;

    fn request(&self, slot: usize) -> String {
        self.pins.draw(slot)
    }

    async fn call(&self, slot: usize, pin: String) -> Result<u64, Failure> {
        let session = &self.sessions[slot % self.sessions.len()];
        let row = session.client.query_one(&session.statement, &[&pin]).await;
        let row = row.map_err(|error| told(&error))?;
        if row.get::<_, &[u8]>(0).is_empty() {
            return Err("the record is empty".to_owned().into());
        }
        Ok(1)
    }
}

/// The server's message without its details, which may hold values.
fn told(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(fault) => format!("{}: {}", fault.code().code(), fault.message()),
        None => error.to_string(),
    }
}
