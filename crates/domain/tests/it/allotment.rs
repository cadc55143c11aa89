//! Allotment where a bucket is nearly full, with and without pending changes on top of the state.

use std::collections::BTreeSet;

use banyan_domain::limits::BUCKET_NUMBERS;
use banyan_domain::{
    BirthDate, MemoryView, Mutation, OverlayView, PersonId, Pin, PinBucket, ProvinceCode,
    Rejection, Sex, View as _, apply,
};
use proptest::prelude::*;

use crate::fixtures::{context, person, province, registration};

fn bucket() -> PinBucket {
    let born = BirthDate::parse("2026").unwrap();
    PinBucket::for_person(ProvinceCode::new("40").unwrap(), born, Sex::Female).unwrap()
}

fn bind(serials: impl IntoIterator<Item = u32>) -> impl Iterator<Item = Mutation> {
    serials.into_iter().map(|serial| Mutation::BindPin {
        pin: Pin::in_bucket(bucket(), serial),
        person: PersonId(u64::MAX),
    })
}

#[test]
fn a_nearly_full_bucket_is_given_out_to_the_last_number_and_then_refused() {
    // The first, the last, neighbours, and some between.
    let free: BTreeSet<u32> = [0, 1, 2, 40_000, 40_001, 333_333, 700_000, 999_998, 999_999]
        .into_iter()
        .chain((0..40).map(|n| 500 + n * 24_001))
        .collect();
    let mut view = MemoryView::new();
    view.absorb(bind(
        (0..BUCKET_NUMBERS).filter(|serial| !free.contains(serial)),
    ));

    let births: Vec<_> = (0..free.len() as u64 + 3)
        .map(|number| {
            registration(
                number,
                number % 4,
                person("Trần Thị Lan", "2026", Sex::Female, &province("40")),
            )
        })
        .collect();
    let mut in_one_batch = Vec::new();
    let mut overlay = OverlayView::new(&view);
    for (index, birth) in (1..).zip(&births) {
        let transition = apply(&overlay, &context(index, 0), birth).unwrap();
        in_one_batch.push(transition.outcome);
        overlay.absorb(transition.mutations);
    }
    let mut one_by_one = Vec::new();
    for (index, birth) in (1..).zip(&births) {
        let transition = apply(&view, &context(index, 0), birth).unwrap();
        one_by_one.push(transition.outcome);
        view.absorb(transition.mutations);
    }
    assert_eq!(in_one_batch, one_by_one);

    let (given, refused) = one_by_one.split_at(free.len());
    let given: BTreeSet<u32> = given
        .iter()
        .map(|outcome| outcome.result.as_ref().unwrap().pin.serial())
        .collect();
    assert_eq!(given, free);
    assert!(
        refused
            .iter()
            .all(|outcome| outcome.result == Err(Rejection::BucketExhausted))
    );
    assert_eq!(view.counters().unwrap().persons, free.len() as u64);
}

proptest! {
    /// Around the end of the bucket, where the scan wraps.
    #[test]
    fn the_scan_sees_pending_numbers_as_it_sees_stored_ones(
        stored in prop::collection::btree_set(0..24_u32, 0..24),
        pending in prop::collection::btree_set(0..24_u32, 0..24),
        from in 0..24_u32,
    ) {
        let serial = |place: u32| (BUCKET_NUMBERS - 12 + place) % BUCKET_NUMBERS;
        let mut view = MemoryView::new();
        view.absorb(bind(stored.iter().map(|place| serial(*place))));
        let mut overlay = OverlayView::new(&view);
        overlay.absorb(bind(pending.difference(&stored).map(|place| serial(*place))));
        let seen = overlay.first_free_serial(&bucket(), serial(from)).unwrap();
        let expected = (from..).find(|place| !stored.contains(place) && !pending.contains(place)).map(serial);
        prop_assert_eq!(seen, expected);
        view.absorb(bind(pending.into_iter().map(serial)));
        prop_assert_eq!(view.first_free_serial(&bucket(), serial(from)).unwrap(), expected);
    }
}
