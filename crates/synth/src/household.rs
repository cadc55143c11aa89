//! A household: who lives together, how they are related, how old they are, what they are called.
//!
//! Every relation is drawn first and everything else follows from it: children bear their father's family name and
//! are younger than their mother by the years that nature asks for, spouses are of legal age (Law 52/2014 on marriage:
//! 20 and 18) and name each other, a widow has no spouse in her record.

use crate::names::{self, Gender, Name};
use crate::numbers::{self, PinAllotter};
use crate::places::{self, Ward};
use crate::random::Dice;
use crate::seats::{Seat, seats};

/// The population stands as of this day: (year, month, day). Forms are collected in the months after it.
pub(crate) const REFERENCE_DATE: (u16, u32, u32) = (2025, 6, 30);

/// A day of birth, or the year alone, as many of the elderly have it in their papers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Birth {
    pub(crate) year: u16,
    pub(crate) month: u32,
    pub(crate) day: u32,
    pub(crate) year_only: bool,
}

/// Where a member's parent is to be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Parent {
    /// In the same household.
    Member(usize),
    /// Elsewhere, or dead.
    Outside(Name),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marital {
    Never,
    Married,
    DivorcedOrWidowed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Head,
    Spouse,
    Parent,
    Child,
    Grandchild,
}

/// A stay away from home, for work.
#[derive(Debug, Clone)]
pub(crate) struct Stay {
    pub(crate) ward: &'static Ward,
    pub(crate) address: String,
    /// Months after January 2025 in which it began; it runs two years (Law 68/2020 Art. 27).
    pub(crate) month: u32,
}

/// One member of a household.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) gender: Gender,
    pub(crate) age: u32,
    pub(crate) birth: Birth,
    pub(crate) name: Name,
    pub(crate) marital: Marital,
    pub(crate) relation: Relation,
    pub(crate) father: Parent,
    pub(crate) mother: Parent,
    pub(crate) spouse: Option<usize>,
    pub(crate) birth_ward: &'static Ward,
    pub(crate) native_ward: &'static Ward,
    pub(crate) pin: Option<String>,
    pub(crate) cmnd: Option<String>,
    pub(crate) blood: &'static str,
    pub(crate) stay: Option<Stay>,
}

/// People who live together, the head first.
#[derive(Debug, Clone)]
pub(crate) struct Household {
    pub(crate) ward: &'static Ward,
    pub(crate) address: String,
    pub(crate) ethnicity: u8,
    pub(crate) religion: &'static str,
    pub(crate) members: Vec<Member>,
}

/// Religions as two-digit codes of the exchange standard, weights in a thousand; 00 is none.
const RELIGIONS: &[(&str, u32)] = &[("00", 863), ("01", 48), ("02", 61), ("03", 10), ("", 18)];

const BLOOD_GROUPS: &[(&str, u32)] = &[("O", 42), ("B", 31), ("A", 21), ("AB", 6)];

impl Household {
    /// The household `number` of a population. `first_person` is the index of its head among all persons.
    ///
    /// PINs depend on how many of the same bucket went before, so households are made in order.
    pub(crate) fn generate(
        seed: u64,
        number: u64,
        first_person: u64,
        pins: &mut PinAllotter,
    ) -> Self {
        let mut dice = Dice::new(seed, b"househld", number);
        let province = places::province(&mut dice);
        let ward = places::ward(&mut dice, province);
        let ethnicity = places::ethnicity(&mut dice, province);
        let mut household = Self {
            ward,
            address: places::address(&mut dice),
            ethnicity,
            religion: dice.weighted(RELIGIONS),
            members: Vec::new(),
        };
        for seat in seats(&mut dice) {
            let index = first_person + household.members.len() as u64;
            let member = household.member(&mut dice, &seat, index, seed, pins);
            household.members.push(member);
        }
        household
    }

    fn member(
        &self,
        dice: &mut Dice,
        seat: &Seat,
        index: u64,
        seed: u64,
        pins: &mut PinAllotter,
    ) -> Member {
        let birth = birth_at(dice, seat.age);
        let family = self.family_of(dice, seat);
        let name = names::full(dice, seat.gender, birth.year, family);
        let father = self.parent(dice, seat, seat.father, Gender::Male, family);
        let mother_family = names::family(dice, self.ethnicity, self.ward.province);
        let mother = self.parent(dice, seat, seat.mother, Gender::Female, mother_family);
        let native_ward = self.native_ward(dice, seat);
        let birth_ward = if seat.age < 20 {
            self.home_ward(dice, 930)
        } else {
            native_ward
        };
        let pin = if dice.chance(pin_share(seat.age)) {
            pins.next(birth_ward.province, seat.gender, birth.year)
        } else {
            None
        };
        Member {
            gender: seat.gender,
            age: seat.age,
            birth,
            name,
            marital: seat.marital,
            relation: seat.relation,
            father,
            mother,
            spouse: seat.spouse,
            birth_ward,
            native_ward,
            pin,
            cmnd: (seat.age >= 20 && dice.chance(620)).then(|| numbers::cmnd(seed, index)),
            blood: if dice.chance(30) {
                dice.weighted(BLOOD_GROUPS)
            } else {
                ""
            },
            stay: stay(dice, seat.age),
        }
    }

    /// The family name: the father's where he is a member; the parents of the head share it with the head.
    fn family_of(&self, dice: &mut Dice, seat: &Seat) -> &'static str {
        if let Some(father) = seat.father.and_then(|father| self.members.get(father)) {
            return father.name.family;
        }
        match (seat.relation, seat.gender) {
            (Relation::Parent, Gender::Male) => self.members[0].name.family,
            (Relation::Child, _) if seat.mother == Some(0) => {
                // A mother alone: half of her children bear her name.
                if dice.chance(500) {
                    self.members[0].name.family
                } else {
                    self.outside_family(dice)
                }
            }
            // A son's child bears the head's name, a daughter's child its father's.
            (Relation::Grandchild, _) if dice.chance(600) => self.members[0].name.family,
            _ => self.outside_family(dice),
        }
    }

    /// The native place: the father's. The head's father is drawn after the head and takes over the head's.
    fn native_ward(&self, dice: &mut Dice, seat: &Seat) -> &'static Ward {
        if let Some(father) = seat.father.and_then(|father| self.members.get(father)) {
            return father.native_ward;
        }
        match (seat.relation, seat.gender) {
            (Relation::Parent, Gender::Male) => self.members[0].native_ward,
            _ => self.home_ward(dice, 800),
        }
    }

    fn outside_family(&self, dice: &mut Dice) -> &'static str {
        names::family(dice, self.ethnicity, self.ward.province)
    }

    /// A parent in the household, or the name of one elsewhere.
    fn parent(
        &self,
        dice: &mut Dice,
        seat: &Seat,
        member: Option<usize>,
        gender: Gender,
        family: &'static str,
    ) -> Parent {
        if let Some(index) = member {
            return Parent::Member(index);
        }
        let years = 20 + dice.below(14);
        let (year, _, _) = REFERENCE_DATE;
        let birth_year = u32::from(year).saturating_sub(seat.age + years) as u16;
        Parent::Outside(names::full(dice, gender, birth_year, family))
    }

    /// The household's own ward with that chance in a thousand; else one in the same province, seldom in another.
    fn home_ward(&self, dice: &mut Dice, per_mille: u32) -> &'static Ward {
        if dice.chance(per_mille) {
            return self.ward;
        }
        let province = if dice.chance(550) {
            self.ward.province
        } else {
            places::province(dice)
        };
        places::ward(dice, province)
    }
}

/// A birth so long ago that the person has that age on the reference date.
fn birth_at(dice: &mut Dice, age: u32) -> Birth {
    let (year, month_now, _) = REFERENCE_DATE;
    let month = dice.between(1, 12);
    let year = (u32::from(year) - age - u32::from(month > month_now)) as u16;
    let day = dice.between(1, days_in_month(year, month));
    let year_only = match age {
        ..=64 => false,
        65..=79 => dice.chance(110),
        _ => dice.chance(260),
    };
    Birth {
        year,
        month,
        day,
        year_only,
    }
}

/// Days of a month of the Gregorian calendar.
pub(crate) fn days_in_month(year: u16, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => {
            29
        }
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The chance in a thousand of having a PIN already: nearly all born since 2016, about half of the others.
fn pin_share(age: u32) -> u32 {
    match age {
        ..=8 => 950,
        9..=13 => 300,
        14..=64 => 460,
        _ => 350,
    }
}

fn stay(dice: &mut Dice, age: u32) -> Option<Stay> {
    if !(18..=38).contains(&age) || !dice.chance(70) {
        return None;
    }
    let province = places::magnet(dice);
    Some(Stay {
        ward: places::ward(dice, province),
        address: places::address(dice),
        month: dice.below(6),
    })
}
