//! Reads of persons, and what every call without effect has in common.

use std::time::Duration;

use banyan_wire::v1;
use tonic::Status;

use crate::client::{Client, distinct, read_error};
use crate::error::CallError;
use crate::journey::{Journey, Roaming};
use crate::link::Link;
use crate::options::Stats;

/// The answer to a call without effect.
#[derive(Debug, Clone)]
pub struct Read<T> {
    /// What the node answered.
    pub answer: T,
    /// What the call took.
    pub stats: Stats,
}

impl Client {
    /// One person by number, from the home endpoints first.
    ///
    /// # Errors
    /// [`CallError`], never [`CallError::OutcomeUnknown`].
    pub async fn get_person(
        &self,
        request: v1::GetPersonRequest,
    ) -> Result<Read<v1::GetPersonResponse>, CallError> {
        let journey = self.read_journey(None)?;
        self.get_person_on(journey, request).await
    }

    /// One person by number, from this endpoint only.
    ///
    /// # Errors
    /// As [`Client::get_person`], and [`CallError::UnknownEndpoint`].
    pub async fn get_person_from(
        &self,
        endpoint: &str,
        request: v1::GetPersonRequest,
    ) -> Result<Read<v1::GetPersonResponse>, CallError> {
        let journey = self.read_journey(Some(endpoint))?;
        self.get_person_on(journey, request).await
    }

    async fn get_person_on(
        &self,
        journey: Journey<'_>,
        request: v1::GetPersonRequest,
    ) -> Result<Read<v1::GetPersonResponse>, CallError> {
        read(journey, |link, time| {
            let request = request.clone();
            async move { link.get_person(request, time).await }
        })
        .await
    }

    /// Up to 1,000 persons by number, from the home endpoints first. One answer for each number, in their order.
    ///
    /// All are of one snapshot, unless the records are so large that no one answer holds them: the rest is then asked for again, within
    /// the same deadline, and is not older. `as_of` is that of the first answer.
    ///
    /// # Errors
    /// [`CallError`], never [`CallError::OutcomeUnknown`].
    pub async fn get_persons(
        &self,
        request: v1::GetPersonsRequest,
    ) -> Result<Read<v1::GetPersonsResponse>, CallError> {
        let journey = self.read_journey(None)?;
        self.get_persons_on(journey, request).await
    }

    /// [`Client::get_persons`], from this endpoint only.
    ///
    /// # Errors
    /// As [`Client::get_persons`], and [`CallError::UnknownEndpoint`].
    pub async fn get_persons_from(
        &self,
        endpoint: &str,
        request: v1::GetPersonsRequest,
    ) -> Result<Read<v1::GetPersonsResponse>, CallError> {
        let journey = self.read_journey(Some(endpoint))?;
        self.get_persons_on(journey, request).await
    }

    async fn get_persons_on(
        &self,
        mut journey: Journey<'_>,
        mut request: v1::GetPersonsRequest,
    ) -> Result<Read<v1::GetPersonsResponse>, CallError> {
        let mut whole: Option<v1::GetPersonsResponse> = None;
        loop {
            let part = step(&mut journey, |link, time| {
                let request = request.clone();
                async move { link.get_persons(request, time).await }
            })
            .await?;
            let answered = part.answers.len().min(request.pins.len());
            request.pins.drain(..answered);
            request.consistency = not_older(part.as_of.as_ref());
            let goes_on = part.more && answered > 0 && !request.pins.is_empty();
            let answer = match whole.take() {
                None => part,
                Some(mut answer) => {
                    answer.answers.extend(part.answers);
                    answer.more = part.more;
                    answer
                }
            };
            if !goes_on {
                let stats = journey.stats();
                return Ok(Read { answer, stats });
            }
            whole = Some(answer);
        }
    }

    /// Persons by number, name and birth date, from the home endpoints first.
    ///
    /// # Errors
    /// [`CallError`], never [`CallError::OutcomeUnknown`].
    pub async fn find_persons(
        &self,
        request: v1::FindPersonsRequest,
    ) -> Result<Read<v1::FindPersonsResponse>, CallError> {
        let journey = self.read_journey(None)?;
        self.find_persons_on(journey, request).await
    }

    /// Persons by number, name and birth date, from this endpoint only.
    ///
    /// # Errors
    /// As [`Client::find_persons`], and [`CallError::UnknownEndpoint`].
    pub async fn find_persons_from(
        &self,
        endpoint: &str,
        request: v1::FindPersonsRequest,
    ) -> Result<Read<v1::FindPersonsResponse>, CallError> {
        let journey = self.read_journey(Some(endpoint))?;
        self.find_persons_on(journey, request).await
    }

    async fn find_persons_on(
        &self,
        journey: Journey<'_>,
        request: v1::FindPersonsRequest,
    ) -> Result<Read<v1::FindPersonsResponse>, CallError> {
        read(journey, |link, time| {
            let request = request.clone();
            async move { link.find_persons(request, time).await }
        })
        .await
    }

    /// All versions of a person's record, oldest first, from the home endpoints first. Asks for page after page, `limit` versions at
    /// a time, within one deadline. `as_of` is that of the last page: a history only grows, so that the whole is as of then.
    ///
    /// The consistency asked for holds for the first page; the others are not older.
    ///
    /// # Errors
    /// [`CallError`], never [`CallError::OutcomeUnknown`].
    pub async fn history(
        &self,
        request: v1::GetHistoryRequest,
    ) -> Result<Read<v1::GetHistoryResponse>, CallError> {
        let journey = self.read_journey(None)?;
        self.history_on(journey, request).await
    }

    /// [`Client::history`], from this endpoint only.
    ///
    /// # Errors
    /// As [`Client::history`], and [`CallError::UnknownEndpoint`].
    pub async fn history_from(
        &self,
        endpoint: &str,
        request: v1::GetHistoryRequest,
    ) -> Result<Read<v1::GetHistoryResponse>, CallError> {
        let journey = self.read_journey(Some(endpoint))?;
        self.history_on(journey, request).await
    }

    async fn history_on(
        &self,
        mut journey: Journey<'_>,
        mut request: v1::GetHistoryRequest,
    ) -> Result<Read<v1::GetHistoryResponse>, CallError> {
        let mut versions = Vec::new();
        loop {
            let mut page = step(&mut journey, |link, time| {
                let request = request.clone();
                async move { link.get_history(request, time).await }
            })
            .await?;
            versions.append(&mut page.versions);
            let newest = versions.last().map(|version| version.version);
            match newest.filter(|newest| page.more && *newest > request.after_version) {
                Some(newest) => {
                    request.after_version = newest;
                    request.consistency = not_older(page.as_of.as_ref());
                }
                None => {
                    page.versions = versions;
                    return Ok(Read {
                        answer: page,
                        stats: journey.stats(),
                    });
                }
            }
        }
    }

    pub(crate) fn read_journey(&self, pinned: Option<&str>) -> Result<Journey<'_>, CallError> {
        let deadline = self.shared.options.deadline;
        if let Some(name) = pinned {
            let route = vec![self.target(name)?];
            return Ok(Journey::new(&self.shared, route, Roaming::Stay, deadline));
        }
        let targets = self.shared.context.targets();
        let home = self
            .shared
            .context
            .home()
            .iter()
            .map(|place| targets[*place].clone());
        let route = distinct(home.chain(targets.iter().cloned()));
        Ok(Journey::new(
            &self.shared,
            route,
            Roaming::Endpoints,
            deadline,
        ))
    }
}

/// The consistency of a read that goes on where an answer ended.
fn not_older(as_of: Option<&v1::AsOf>) -> Option<v1::Consistency> {
    let token = as_of?.token.clone();
    let level = v1::consistency::Level::Session(v1::Session { token });
    Some(v1::Consistency {
        level: Some(level),
        forward: false,
    })
}

/// Runs a call without effect to its end.
pub(crate) async fn read<T, F, Fut>(
    mut journey: Journey<'_>,
    attempt: F,
) -> Result<Read<T>, CallError>
where
    F: FnMut(Link, Duration) -> Fut,
    Fut: Future<Output = Result<T, Status>>,
{
    let answer = step(&mut journey, attempt).await?;
    let stats = journey.stats();
    Ok(Read { answer, stats })
}

/// One answer of a call that may need several: the next one is asked for where this one came from.
pub(crate) async fn step<T, F, Fut>(journey: &mut Journey<'_>, attempt: F) -> Result<T, CallError>
where
    F: FnMut(Link, Duration) -> Fut,
    Fut: Future<Output = Result<T, Status>>,
{
    let answer = journey.run(attempt).await;
    answer.map_err(|end| read_error(end, journey.stats()))
}
