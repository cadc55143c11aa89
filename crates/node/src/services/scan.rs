//! Everyone of a scope, page by page, all pages of one state (ADR 0021).

use std::sync::Arc;
use std::time::Duration;

use banyan_domain::limits::SCAN_PAGE_MAX;
use banyan_domain::policy::{Action, Denial, Resource, decide};
use banyan_domain::{Actor, FieldFault, PersonId, Pin, ProvinceCode, Units, ValueFault};
use banyan_wire::cursor::{Cursor, ScanId};
use banyan_wire::errors::Code;
use banyan_wire::v1::{ErrorDetail, PersonVersion, ScanPersonsRequest, ScanPersonsResponse};
use bytes::Bytes;
use tokio_util::sync::CancellationToken;

use super::consistency::Reading;
use super::context::{CallContext, ServiceParts};
use super::faults::Faults;
use super::read::{Access, Purpose};
use super::scans::{Bounds, Scans};
use super::shown::{Room, denied, with_fields};

/// Numbers that a page goes through where the caller names no page size.
const PAGE_SIZE_DEFAULT: usize = 100;
/// How long a scan whose time is over may still be held.
const TICK: Duration = Duration::from_millis(250);

/// The scans that this node holds.
pub struct HeldScans(Scans<Scan>);

impl HeldScans {
    /// None yet. A scan will be held `idle_max` for its next page, and `total_max` in all.
    #[must_use]
    pub fn new(idle_max: Duration, total_max: Duration) -> Self {
        Self(Scans::new(Bounds {
            idle_max,
            total_max,
        }))
    }
}

/// What a scan goes on with.
struct Scan {
    reading: Reading,
    province: Option<ProvinceCode>,
    page_size: usize,
    purpose: Purpose,
}

#[derive(Default)]
struct Page {
    persons: Vec<PersonVersion>,
    ids: Vec<PersonId>,
    /// The last number that the page went through.
    last: Option<Pin>,
    more: bool,
}

impl ServiceParts {
    pub(super) async fn scan_persons(
        &self,
        context: &CallContext,
        request: ScanPersonsRequest,
    ) -> Result<ScanPersonsResponse, ErrorDetail> {
        if request.cursor.is_empty() {
            self.begin_scan(context, request).await
        } else {
            self.go_on_with_scan(context, request).await
        }
    }

    /// Lets go of scans whose time is over, until the node stops.
    pub async fn watch_scans(&self, stop: CancellationToken) {
        while tokio::time::timeout(TICK, stop.cancelled()).await.is_err() {
            self.scans.0.drop_expired(self.clock.monotonic());
            self.metrics.set_scans_held(self.scans.0.count());
        }
    }

    async fn begin_scan(
        &self,
        context: &CallContext,
        request: ScanPersonsRequest,
    ) -> Result<ScanPersonsResponse, ErrorDetail> {
        let mut faults = Faults::default();
        let purpose = faults.purpose(&request.purpose);
        let province = faults.take("province", province(&request.province));
        let page_size = faults.limit(
            "page_size",
            request.page_size,
            PAGE_SIZE_DEFAULT,
            SCAN_PAGE_MAX,
        );
        let purpose = faults.none(purpose)?.flatten();
        let province = province.flatten();
        may_scan(context.actor(), province)?;
        let principal = &context.actor().principal;
        self.scans.0.make_room(principal, self.clock.monotonic())?;
        let reading = self
            .open_reading(context, request.consistency.as_ref())
            .await?;
        let scan = Arc::new(Scan {
            reading,
            province,
            page_size,
            purpose,
        });
        let page = self.read_page(context, &scan, None).await?;
        let as_of = self.first_page_as_of(&scan.reading)?;
        let cursor = match page.next() {
            None => Bytes::new(),
            Some(next) => {
                let id = self.scan_id();
                let now = self.clock.monotonic();
                self.scans.0.hold(id, principal, scan, next, now)?;
                self.metrics.set_scans_held(self.scans.0.count());
                self.cursor(id, 1)
            }
        };
        Ok(ScanPersonsResponse {
            persons: page.persons,
            cursor,
            as_of: Some(as_of),
        })
    }

    async fn go_on_with_scan(
        &self,
        context: &CallContext,
        request: ScanPersonsRequest,
    ) -> Result<ScanPersonsResponse, ErrorDetail> {
        let cursor = further_page(&request)?;
        if cursor.node != self.facts.id {
            let text = format!(
                "the cursor is of node {}, this is node {}",
                cursor.node, self.facts.id
            );
            return Err(ErrorDetail::new(Code::CursorExpired, text));
        }
        let (id, page) = (&cursor.scan, cursor.page);
        let scans = &self.scans.0;
        let principal = &context.actor().principal;
        let found = scans.find(id, principal, page, self.clock.monotonic());
        let (scan, after) = found.ok_or_else(|| {
            let text = "this node holds no such scan of this principal at that page: its time is over, the node was restarted, \
                        or a later page has been asked for";
            ErrorDetail::new(Code::CursorExpired, text)
        })?;
        // The certificate may be another one than at the first page.
        may_scan(context.actor(), scan.province)?;
        let read = self.read_page(context, &scan, after).await?;
        let next = read.next();
        scans.turn(id, page, after, next, self.clock.monotonic());
        Ok(ScanPersonsResponse {
            persons: read.persons,
            cursor: next.map_or_else(Bytes::new, |_| self.cursor(*id, page + 1)),
            as_of: Some(self.page_as_of(&scan.reading)),
        })
    }

    /// A page, with the access record for everyone on it.
    async fn read_page(
        &self,
        context: &CallContext,
        scan: &Arc<Scan>,
        after: Option<Pin>,
    ) -> Result<Page, ErrorDetail> {
        let (read, actor) = (Arc::clone(scan), context.actor().clone());
        let mut page = self
            .read_apart(move || Page::read(&read, &actor, after))
            .await?;
        let access = Access {
            method: "ScanPersons",
            purpose: scan.purpose.clone(),
            persons: std::mem::take(&mut page.ids),
        };
        self.record_access(context, access, scan.reading.as_of())
            .await?;
        Ok(page)
    }

    fn cursor(&self, scan: ScanId, page: u64) -> Bytes {
        let node = self.facts.id;
        Cursor { node, scan, page }.encode()
    }
}

impl Page {
    fn read(scan: &Scan, actor: &Actor, after: Option<Pin>) -> Result<Self, ErrorDetail> {
        let mut page = Self::default();
        let mut room = Room::default();
        let mut gone_through = 0;
        scan.reading.read(|view| {
            view.visit_persons(scan.province, after.as_ref(), |pin, person| {
                page.more = gone_through == scan.page_size;
                let judged = decide(actor, Action::ScanPersons, &Resource::Record(&person.data));
                // Whoever has had several numbers stands at the one that holds, once.
                if let Ok(fields) = judged
                    && person.pin == *pin
                    && !page.more
                {
                    let shown = with_fields(&person, fields);
                    page.more = !room.takes(&shown);
                    if !page.more {
                        page.persons.push(shown);
                        page.ids.push(person.person);
                    }
                }
                if !page.more {
                    gone_through += 1;
                    page.last = Some(*pin);
                }
                !page.more
            })
        })?;
        Ok(page)
    }

    /// The number that the next page begins after; none if there is none.
    fn next(&self) -> Option<Pin> {
        self.last.filter(|_| self.more)
    }
}

fn may_scan(actor: &Actor, province: Option<ProvinceCode>) -> Result<(), ErrorDetail> {
    let judged = decide(actor, Action::ScanPersons, &Resource::Scope(province));
    judged.map(drop).map_err(|denial| {
        let mut detail = denied(actor, denial);
        if denial == Denial::OutsideArea {
            "a scan goes through the numbers of a whole province: its registrars may ask for it, and the centre"
                .clone_into(&mut detail.message);
        }
        detail
    })
}

/// The scope of a scan: a province of the list, or everyone.
fn province(text: &str) -> Result<Option<ProvinceCode>, ValueFault> {
    if text.is_empty() {
        return Ok(None);
    }
    let code = ProvinceCode::new(text)?;
    if Units::current().has_province(code) {
        Ok(Some(code))
    } else {
        Err(ValueFault::new("must be the code of a province"))
    }
}

/// The cursor of a request for a further page, which says nothing else: it would be ignored.
fn further_page(request: &ScanPersonsRequest) -> Result<Cursor, ErrorDetail> {
    let mut faults = Faults::default();
    let cursor = Cursor::decode(&request.cursor);
    let cursor = faults.take(
        "cursor",
        cursor.map_err(|fault| ValueFault::new(fault.to_string())),
    );
    for (field, given) in [
        ("province", !request.province.is_empty()),
        ("page_size", request.page_size != 0),
        ("consistency", request.consistency.is_some()),
        ("purpose", !request.purpose.is_empty()),
    ] {
        if given {
            let rule = "is said with the first page only";
            faults.0.push(FieldFault::new(field, rule));
        }
    }
    let cursor = faults.none(cursor)?;
    // Without a fault there is a cursor.
    cursor.ok_or_else(|| ErrorDetail::new(Code::CursorExpired, "there is no cursor"))
}
