//! Scans: everyone of a scope, page after page, at the node that gave the first one.

use banyan_wire::v1;

use crate::client::Client;
use crate::error::CallError;
use crate::journey::{Journey, Roaming};
use crate::reads::{Read, step};
use crate::target::Target;

/// A scan under way. Dropping it is all that it takes to end it: the node forgets it after a while.
#[derive(Debug)]
pub struct Scan {
    client: Client,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// The first page is still to come, from this endpoint where one is named.
    First {
        endpoint: Option<String>,
        request: v1::ScanPersonsRequest,
    },
    /// The next page is to come from the node that gave the ones before.
    Next {
        target: Target,
        request: v1::ScanPersonsRequest,
    },
    Ended,
}

impl Client {
    /// A scan of everyone in the order of the numbers, from the home endpoints first. Nothing is asked before [`Scan::next`]. `request`
    /// is that of the first page.
    #[must_use]
    pub fn scan_persons(&self, request: v1::ScanPersonsRequest) -> Scan {
        self.scan(None, request)
    }

    /// [`Client::scan_persons`], from this endpoint only.
    #[must_use]
    pub fn scan_persons_from(&self, endpoint: &str, request: v1::ScanPersonsRequest) -> Scan {
        self.scan(Some(endpoint.to_owned()), request)
    }

    fn scan(&self, endpoint: Option<String>, request: v1::ScanPersonsRequest) -> Scan {
        Scan {
            client: self.clone(),
            stage: Stage::First { endpoint, request },
        }
    }
}

impl Scan {
    /// The next page, or `None` after the last one. All pages are as of one position. A page may hold nobody where more follow. After an
    /// error the same page is asked for again.
    ///
    /// # Errors
    /// [`CallError`], never [`CallError::OutcomeUnknown`]. [`CallError::Refused`] with `CURSOR_EXPIRED` ends the scan: its node holds it
    /// no longer.
    pub async fn next(&mut self) -> Result<Option<Read<v1::ScanPersonsResponse>>, CallError> {
        let shared = &self.client.shared;
        let (mut journey, request) = match &self.stage {
            Stage::First { endpoint, request } => {
                (self.client.read_journey(endpoint.as_deref())?, request)
            }
            Stage::Next { target, request } => {
                let (route, deadline) = (vec![target.clone()], shared.options.deadline);
                let journey = Journey::new(shared, route, Roaming::Stay, deadline);
                (journey, request)
            }
            Stage::Ended => return Ok(None),
        };
        let answer = step(&mut journey, |link, time| {
            let request = request.clone();
            async move { link.scan_persons(request, time).await }
        })
        .await?;
        let stage = if answer.cursor.is_empty() {
            Stage::Ended
        } else {
            let request = v1::ScanPersonsRequest {
                cursor: answer.cursor.clone(),
                ..Default::default()
            };
            let target = journey.target().clone();
            Stage::Next { target, request }
        };
        let stats = journey.stats();
        self.stage = stage;
        Ok(Some(Read { answer, stats }))
    }
}
