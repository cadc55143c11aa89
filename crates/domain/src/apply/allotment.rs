//! Allotment of a number, and the counts that keep it short (ADR 0006, ADR 0018).

use crate::ids::PersonId;
use crate::limits::{BUCKET_PAGES, PIN_TRIES_MAX};
use crate::page::PinPage;
use crate::person::PersonData;
use crate::pin::{Pin, PinBucket};
use crate::rejection::{PlaceProblem, Rejection};
use crate::seeded_bugs::{SeededBug, planted};
use crate::transition::Mutation;
use crate::units::Units;
use crate::view::{View, ViewFault};

/// A new number: the first free one of the salted sequence of the bucket, and where that runs long, the next free one of
/// the bucket. `root` is what stands before the fields of the record in the command, for instance `data.`.
///
/// Reads at most [`PIN_TRIES_MAX`] numbers, then a count for each page and the numbers of two pages; a full bucket takes
/// one read.
pub(super) fn allot(
    view: &impl View,
    data: &PersonData,
    salt: u64,
    root: &str,
) -> Result<Result<Pin, Rejection>, ViewFault> {
    let bucket = match bucket_of(data) {
        Ok(bucket) => bucket,
        Err(reason) => {
            let field = format!("{root}birth_registration_place");
            return Ok(Err(Rejection::BirthPlaceUnknown { reason, field }));
        }
    };
    if view.full_pages(&bucket)? >= BUCKET_PAGES {
        return Ok(Err(Rejection::BucketExhausted));
    }
    let mut last = 0;
    for serial in bucket.serials(salt).take(PIN_TRIES_MAX) {
        let pin = Pin::in_bucket(bucket, serial);
        if planted(SeededBug::NumberNotLookedUp) || view.person_by_pin(&pin)?.is_none() {
            return Ok(Ok(pin));
        }
        last = serial;
    }
    Ok(next_free(view, bucket, last)?
        .map(|serial| Pin::in_bucket(bucket, serial))
        .ok_or(Rejection::BucketExhausted))
}

fn bucket_of(data: &PersonData) -> Result<PinBucket, PlaceProblem> {
    let place = &data.birth_registration_place;
    if place.is_abroad() {
        return Err(PlaceProblem::Abroad);
    }
    let province = Units::current()
        .province_of(place)
        .ok_or(PlaceProblem::ProvinceUnknown)?;
    PinBucket::for_person(province, data.birth_date, data.sex)
        .map_err(|_| PlaceProblem::BornBefore1900)
}

/// The first free serial from `from` upwards and then from 0, as a walk through the whole bucket would find it. Full pages
/// are passed by their counts.
fn next_free(view: &impl View, bucket: PinBucket, from: u32) -> Result<Option<u32>, ViewFault> {
    let first = PinPage::holding(bucket, from);
    let room = |page: &PinPage| -> Result<bool, ViewFault> {
        Ok(view.used_in_page(page)? < page.capacity())
    };
    let serials = first.serials();
    let room_at_first = room(&first)?;
    if room_at_first && let Some(serial) = view.first_free_serial(&bucket, from..serials.end)? {
        return Ok(Some(serial));
    }
    for page in first.others() {
        if room(&page)?
            && let Some(serial) = view.first_free_serial(&bucket, page.serials())?
        {
            return Ok(Some(serial));
        }
    }
    if room_at_first {
        return view.first_free_serial(&bucket, serials.start..from);
    }
    Ok(None)
}

/// Adds a number to those given out: the index, and the counts. A page that becomes full is counted in its bucket.
pub(super) fn bind(
    view: &impl View,
    pin: Pin,
    person: PersonId,
    mutations: &mut Vec<Mutation>,
) -> Result<(), ViewFault> {
    let page = PinPage::of(&pin);
    let used = view.used_in_page(&page)?.saturating_add(1);
    mutations.push(Mutation::BindPin { pin, person });
    mutations.push(Mutation::CountPage { page, used });
    if used == page.capacity() {
        let bucket = page.bucket();
        let pages = view.full_pages(&bucket)?.saturating_add(1);
        mutations.push(Mutation::CountFullPages { bucket, pages });
    }
    Ok(())
}
