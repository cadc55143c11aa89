//! Allotment where a bucket is nearly full, with and without pending changes on top of the state.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::ops::Range;

use banyan_domain::limits::{BUCKET_NUMBERS, BUCKET_PAGES, PAGE_NUMBERS, PIN_TRIES_MAX};
use banyan_domain::{
    BirthDate, Cmnd, Counters, FormKey, IdempotencyKey, MemoryView, Mutation, OverlayView,
    PersonId, PersonVersion, Pin, PinBucket, PinPage, Principal, ProvinceCode, Rejection, Sex,
    StoredOutcome, Timestamp, VersionNumber, View, ViewFault, apply,
};
use proptest::prelude::*;

use crate::fixtures::{context, given_out, person, province, registration};

fn bucket() -> PinBucket {
    let born = BirthDate::parse("2026").unwrap();
    PinBucket::for_person(ProvinceCode::new("40").unwrap(), born, Sex::Female).unwrap()
}

#[test]
fn a_nearly_full_bucket_is_given_out_to_the_last_number_and_then_refused() {
    // The first, the last, neighbours, and some between.
    let free: BTreeSet<u32> = [0, 1, 2, 40_000, 40_001, 333_333, 700_000, 999_998, 999_999]
        .into_iter()
        .chain((0..40).map(|n| 500 + n * 24_001))
        .collect();
    let mut view = MemoryView::new();
    view.absorb(given_out(
        bucket(),
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

/// Every kind of place for the scan: some whole pages, and some numbers around the edges of pages and of the bucket.
fn crowded() -> impl Strategy<Value = (Vec<u8>, Vec<u32>)> {
    let edge = prop_oneof![
        0..6_u32,
        PAGE_NUMBERS - 3..PAGE_NUMBERS + 3,
        243 * PAGE_NUMBERS - 3..243 * PAGE_NUMBERS + 3,
        BUCKET_NUMBERS - 6..BUCKET_NUMBERS,
        0..BUCKET_NUMBERS,
    ];
    let page = prop_oneof![Just(0_u8), Just(1), Just(243), Just(244), 0..=244_u8];
    (
        prop::collection::vec(page, 0..5),
        prop::collection::vec(edge, 1..30),
    )
}

/// What a walk through the whole bucket from that serial finds.
fn naive(free: &BTreeSet<u32>, from: u32) -> Option<u32> {
    free.range(from..).chain(free.range(..from)).next().copied()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Births into a bucket that is full but for these numbers get what the naive walk gives them: the first free number of
    /// the salted sequence, else the next free one after its last try; and the counts agree with the numbers all the while.
    #[test]
    fn allotment_by_pages_is_the_naive_walk(
        (pages, numbers) in crowded(),
        salts in prop::collection::vec(any::<u64>(), 1..12),
        grouped in any::<bool>(),
    ) {
        let of_pages = pages.iter().flat_map(|page| {
            let first = u32::from(*page) * PAGE_NUMBERS;
            (first..(first + PAGE_NUMBERS).min(BUCKET_NUMBERS)).step_by(509)
        });
        let mut free: BTreeSet<u32> = numbers.into_iter().chain(of_pages).collect();
        let mut view = MemoryView::new();
        view.absorb(given_out(bucket(), (0..BUCKET_NUMBERS).filter(|serial| !free.contains(serial))));
        let mut overlay = OverlayView::new(&view);
        let mut pending = Vec::new();
        for (index, salt) in (1..).zip(salts) {
            let data = person("Trần Thị Lan", "2026", Sex::Female, &province("40"));
            let birth = registration(index, salt, data);
            let transition = apply(&overlay, &context(index, 0), &birth).unwrap();
            let tries: Vec<u32> = bucket().serials(salt).take(PIN_TRIES_MAX).collect();
            let expected = tries.iter().copied().find(|serial| free.contains(serial))
                .or_else(|| naive(&free, tries[PIN_TRIES_MAX - 1]));
            let given = transition.outcome.result.as_ref().ok().map(|accepted| accepted.pin.serial());
            prop_assert_eq!(given, expected);
            if let Some(serial) = given {
                free.remove(&serial);
            }
            pending.extend(transition.mutations.clone());
            overlay.absorb(transition.mutations);
            if !grouped {
                // What was pending becomes the state, and the next command finds it there.
                drop(overlay);
                view.absorb(pending.drain(..));
                overlay = OverlayView::new(&view);
            }
            counts_agree(&overlay, &free)?;
        }
    }

    /// Around the end of the bucket and the first edge of a page.
    #[test]
    fn the_scan_sees_pending_numbers_as_it_sees_stored_ones(
        stored in prop::collection::btree_set(0..24_u32, 0..24),
        pending in prop::collection::btree_set(0..24_u32, 0..24),
        from in 0..24_u32,
        until in 0..=24_u32,
        base in prop_oneof![Just(BUCKET_NUMBERS - 24), Just(PAGE_NUMBERS - 12), Just(0)],
    ) {
        let bind = |places: &BTreeSet<u32>| places.iter().map(|place| Mutation::BindPin {
            pin: Pin::in_bucket(bucket(), base + place),
            person: PersonId(u64::MAX),
        }).collect::<Vec<_>>();
        let mut view = MemoryView::new();
        view.absorb(bind(&stored));
        let mut overlay = OverlayView::new(&view);
        overlay.absorb(bind(&pending.difference(&stored).copied().collect()));
        let serials = base + from..base + until;
        let seen = overlay.first_free_serial(&bucket(), serials.clone()).unwrap();
        let expected = (from..until).find(|place| !stored.contains(place) && !pending.contains(place));
        prop_assert_eq!(seen, expected.map(|place| base + place));
        view.absorb(bind(&pending));
        prop_assert_eq!(view.first_free_serial(&bucket(), serials).unwrap(), seen);
    }
}

/// The counts say what the numbers say.
fn counts_agree(view: &impl View, free: &BTreeSet<u32>) -> Result<(), TestCaseError> {
    let first = PinPage::holding(bucket(), 0);
    let mut full = 0;
    for page in std::iter::once(first).chain(first.others()) {
        let room = free.range(page.serials()).count();
        let used = view.used_in_page(&page).unwrap();
        prop_assert_eq!(usize::from(page.capacity() - used), room);
        full += u16::from(room == 0);
    }
    prop_assert_eq!(view.full_pages(&bucket()).unwrap(), full);
    Ok(())
}

/// A view that counts what is asked of it.
struct Counted<'a> {
    view: &'a MemoryView,
    numbers: Cell<u32>,
    counts: Cell<u32>,
}

impl View for Counted<'_> {
    fn version(&self, person: PersonId) -> Result<Option<PersonVersion>, ViewFault> {
        self.view.version(person)
    }

    fn person_by_pin(&self, pin: &Pin) -> Result<Option<PersonId>, ViewFault> {
        self.numbers.set(self.numbers.get() + 1);
        self.view.person_by_pin(pin)
    }

    fn version_at(
        &self,
        person: PersonId,
        version: VersionNumber,
    ) -> Result<Option<PersonVersion>, ViewFault> {
        self.view.version_at(person, version)
    }

    fn stored_keys(
        &self,
        from: IdempotencyKey,
        until: Timestamp,
        count_max: usize,
    ) -> Result<Vec<(IdempotencyKey, Principal)>, ViewFault> {
        self.view.stored_keys(from, until, count_max)
    }

    fn person_by_cmnd(&self, cmnd: &Cmnd) -> Result<Option<PersonId>, ViewFault> {
        self.view.person_by_cmnd(cmnd)
    }

    fn person_by_form(&self, form: &FormKey) -> Result<Option<PersonId>, ViewFault> {
        self.view.person_by_form(form)
    }

    fn outcome(
        &self,
        principal: &Principal,
        key: &IdempotencyKey,
    ) -> Result<Option<StoredOutcome>, ViewFault> {
        self.view.outcome(principal, key)
    }

    fn used_in_page(&self, page: &PinPage) -> Result<u16, ViewFault> {
        self.counts.set(self.counts.get() + 1);
        self.view.used_in_page(page)
    }

    fn full_pages(&self, bucket: &PinBucket) -> Result<u16, ViewFault> {
        self.counts.set(self.counts.get() + 1);
        self.view.full_pages(bucket)
    }

    fn first_free_serial(
        &self,
        bucket: &PinBucket,
        serials: Range<u32>,
    ) -> Result<Option<u32>, ViewFault> {
        let found = self.view.first_free_serial(bucket, serials.clone())?;
        let passed = found.map_or(serials.end, |serial| serial + 1) - serials.start;
        self.numbers.set(self.numbers.get() + passed);
        Ok(found)
    }

    fn counters(&self) -> Result<Counters, ViewFault> {
        self.view.counters()
    }
}

#[test]
fn allotment_reads_a_bounded_number_of_records_however_full_the_bucket_is() {
    let birth = || {
        let data = person("Trần Thị Lan", "2026", Sex::Female, &province("40"));
        registration(1, 3, data)
    };
    let reads = |free: &[u32]| {
        let mut view = MemoryView::new();
        let taken = (0..BUCKET_NUMBERS).filter(|serial| !free.contains(serial));
        view.absorb(given_out(bucket(), taken));
        let counted = Counted {
            view: &view,
            numbers: Cell::new(0),
            counts: Cell::new(0),
        };
        apply(&counted, &context(1, 0), &birth()).unwrap();
        (counted.numbers.get(), counted.counts.get())
    };
    assert_eq!(reads(&[]), (0, 1), "a full bucket is refused at once");
    let last = bucket().serials(3).nth(PIN_TRIES_MAX - 1).unwrap();
    let tries = u32::try_from(PIN_TRIES_MAX).unwrap();
    for free in [
        last - 1,
        last + 1,
        (last + BUCKET_NUMBERS / 2) % BUCKET_NUMBERS,
        0,
        999_999,
    ] {
        let (numbers, counts) = reads(&[free]);
        assert!(numbers <= tries + 2 * PAGE_NUMBERS, "{numbers} numbers");
        assert!(counts <= u32::from(BUCKET_PAGES) + 3, "{counts} counts");
    }
}
