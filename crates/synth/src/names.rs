//! Vietnamese names as they occur: family names by region, middle and given names by sex and generation.
//!
//! Weights of the family names follow their often quoted shares (Nguyễn about 38 %, Trần 12 %, Lê 9 %, Phạm 7 %, …);
//! the rest is plausible, not measured. Everything is written in Unicode NFC.

use crate::random::Dice;

type Weighted = [(&'static str, u32)];

/// A name in its three parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) family: &'static str,
    pub(crate) middle: String,
    pub(crate) given: &'static str,
}

/// Male or female, for the choice of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gender {
    Male,
    Female,
}

/// Family names of the Kinh majority in the north and the north centre.
#[rustfmt::skip]
const FAMILIES_NORTH: &Weighted = &[
    ("Nguyễn", 384), ("Trần", 115), ("Lê", 95), ("Phạm", 78), ("Hoàng", 55), ("Vũ", 45), ("Phan", 32),
    ("Đặng", 24), ("Bùi", 26), ("Đỗ", 22), ("Ngô", 15), ("Dương", 12), ("Đinh", 12), ("Trịnh", 8),
    ("Đào", 9), ("Hà", 7), ("Lương", 6), ("Cao", 7), ("Hồ", 9), ("Mai", 5), ("Tạ", 4), ("Chu", 4),
    ("Phùng", 4), ("Quách", 2), ("Thái", 3), ("Vương", 3), ("Lưu", 4), ("Kiều", 2), ("Nghiêm", 1), ("Tống", 2),
];

/// Family names of the Kinh majority in the south and the south centre, where Hoàng is Huỳnh and Vũ is Võ.
#[rustfmt::skip]
const FAMILIES_SOUTH: &Weighted = &[
    ("Nguyễn", 384), ("Trần", 125), ("Lê", 98), ("Phạm", 66), ("Huỳnh", 58), ("Võ", 46), ("Phan", 40),
    ("Đặng", 22), ("Bùi", 18), ("Đỗ", 12), ("Hồ", 20), ("Ngô", 13), ("Dương", 13), ("Trương", 20),
    ("Lý", 7), ("Đinh", 6), ("Mai", 7), ("Cao", 6), ("Lâm", 8), ("Tô", 4), ("Châu", 4), ("Đoàn", 8),
    ("Lương", 4), ("Thái", 3), ("Tạ", 3), ("Văn", 2), ("Hứa", 2), ("La", 1), ("Trịnh", 4), ("Tăng", 2),
];

#[rustfmt::skip]
const FAMILIES_TAY_NUNG: &Weighted = &[
    ("Nông", 22), ("Hoàng", 20), ("Nguyễn", 14), ("Lý", 8), ("Triệu", 7), ("Bế", 5), ("Vi", 6), ("Ma", 6),
    ("Lục", 4), ("Hứa", 4), ("Đàm", 4), ("Lương", 6), ("Chu", 3), ("Long", 3),
];
#[rustfmt::skip]
const FAMILIES_THAI: &Weighted =
    &[("Lò", 26), ("Cầm", 10), ("Quàng", 12), ("Lường", 14), ("Hà", 10), ("Vi", 12), ("Cà", 8), ("Tòng", 8), ("Lô", 10)];
#[rustfmt::skip]
const FAMILIES_MUONG: &Weighted =
    &[("Bùi", 45), ("Đinh", 14), ("Quách", 12), ("Bạch", 8), ("Phạm", 9), ("Hà", 6), ("Trương", 6)];
#[rustfmt::skip]
const FAMILIES_KHMER: &Weighted =
    &[("Thạch", 26), ("Sơn", 14), ("Kim", 14), ("Danh", 18), ("Châu", 14), ("Lâm", 8), ("Kiên", 6)];
#[rustfmt::skip]
const FAMILIES_HOA: &Weighted =
    &[("Trần", 20), ("Lý", 14), ("Lâm", 12), ("Quách", 7), ("Vương", 8), ("Huỳnh", 10), ("Tăng", 7), ("Châu", 8), ("Lưu", 8), ("Hứa", 6)];
#[rustfmt::skip]
const FAMILIES_MONG: &Weighted =
    &[("Giàng", 20), ("Vàng", 18), ("Sùng", 16), ("Thào", 14), ("Lý", 12), ("Mùa", 8), ("Hạng", 6), ("Cứ", 4), ("Vừ", 8)];
#[rustfmt::skip]
const FAMILIES_DAO: &Weighted = &[("Triệu", 24), ("Bàn", 20), ("Đặng", 18), ("Lý", 16), ("Phùng", 12), ("Chảo", 10)];
#[rustfmt::skip]
const FAMILIES_HIGHLAND: &Weighted = &[("Rơ", 10), ("Siu", 16), ("Ksor", 18), ("Niê", 20), ("Ayun", 8), ("Kpă", 14), ("Rah", 8), ("Đinh", 14)];

#[rustfmt::skip]
const MIDDLES_MALE_OLD: &Weighted = &[
    ("Văn", 560), ("Hữu", 50), ("Đức", 45), ("Đình", 45), ("Xuân", 45), ("Ngọc", 40), ("Quang", 35), ("Công", 35),
    ("Thanh", 35), ("Minh", 25), ("Bá", 20), ("Viết", 15), ("Thành", 15), ("Trọng", 15), ("Sỹ", 10), ("Duy", 10),
];
#[rustfmt::skip]
const MIDDLES_MALE_YOUNG: &Weighted = &[
    ("Văn", 170), ("Minh", 95), ("Đức", 75), ("Quang", 55), ("Gia", 60), ("Hoàng", 60), ("Tuấn", 50), ("Thanh", 45),
    ("Quốc", 50), ("Anh", 40), ("Hữu", 30), ("Bảo", 35), ("Duy", 35), ("Đăng", 20), ("Nhật", 25), ("Trung", 25),
    ("Ngọc", 30), ("Thành", 30), ("Công", 25), ("Mạnh", 20), ("Việt", 15), ("Trọng", 15), ("Xuân", 15), ("Hải", 15),
    ("Phúc", 12), ("Khánh", 12), ("Tiến", 15), ("Chí", 10), ("Nguyên", 10), ("", 12), ("Hoàng Minh", 6), ("Ngọc Bảo", 4),
];
#[rustfmt::skip]
const MIDDLES_FEMALE_OLD: &Weighted = &[
    ("Thị", 820), ("Ngọc", 35), ("Kim", 35), ("Thanh", 25), ("Thị Ngọc", 15), ("Thị Kim", 20), ("Bích", 10),
    ("Thu", 10), ("Mỹ", 8), ("Thị Thanh", 10), ("Hồng", 7), ("Tuyết", 5),
];
#[rustfmt::skip]
const MIDDLES_FEMALE_YOUNG: &Weighted = &[
    ("Thị", 210), ("Ngọc", 85), ("Thị Thu", 35), ("Thị Ngọc", 35), ("Thị Thanh", 30), ("Thu", 35), ("Phương", 40),
    ("Thanh", 45), ("Minh", 40), ("Khánh", 45), ("Bảo", 45), ("Thùy", 35), ("Kim", 35), ("Mỹ", 25), ("Hồng", 25),
    ("Quỳnh", 30), ("Gia", 25), ("Diệu", 20), ("Hoài", 15), ("Thảo", 20), ("Bích", 12), ("Tuyết", 12), ("Hà", 20),
    ("Tường", 10), ("Yến", 14), ("Nguyễn", 6), ("Lan", 8), ("Thị Hồng", 15), ("Thị Phương", 15), ("An", 10),
];

#[rustfmt::skip]
const GIVENS_MALE_OLD: &[&str] = &[
    "Hùng", "Dũng", "Sơn", "Bình", "Thắng", "Hải", "Hòa", "Long", "Thành", "Tiến", "Hưng", "Cường", "Minh", "Tuấn",
    "Nam", "Quý", "Phúc", "Lợi", "Thịnh", "Đạt", "Toàn", "Khánh", "Quang", "Vinh", "Tâm", "Nghĩa", "Lâm", "Chiến",
    "Hiền", "Mạnh", "Đông", "Tài", "Trung", "Bé", "Ba", "Thọ", "Khoa", "Hậu", "Lực", "Phương", "Thanh", "Xuân",
];
#[rustfmt::skip]
const GIVENS_MALE_YOUNG: &[&str] = &[
    "Anh", "Minh", "Huy", "Khang", "Bảo", "Khôi", "Phúc", "Đạt", "Long", "Nam", "Quân", "Phong", "Kiên", "Duy",
    "Thịnh", "Hiếu", "Đức", "Khánh", "Hoàng", "Nguyên", "Khoa", "Lâm", "Tùng", "Sơn", "Trí", "Nhân", "Đăng", "Việt",
    "Vinh", "Thành", "Tuấn", "Hưng", "Dũng", "Hải", "Trung", "An", "Bách", "Tú", "Thiên", "Nghĩa", "Tâm", "Cường",
];
#[rustfmt::skip]
const GIVENS_FEMALE_OLD: &[&str] = &[
    "Lan", "Hoa", "Hương", "Hồng", "Mai", "Nga", "Liên", "Hà", "Thủy", "Bình", "Hạnh", "Loan", "Tuyết", "Nguyệt",
    "Phượng", "Hằng", "Vân", "Oanh", "Thu", "Xuân", "Dung", "Sen", "Cúc", "Hiền", "Minh", "Thanh", "Bé", "Tư",
    "Yến", "Lý", "Kim", "Nhung", "Phương", "Thơm", "Thoa", "Tâm", "Chín", "Sáu", "Hợi", "Ngọc", "Đào", "Lành",
];
#[rustfmt::skip]
const GIVENS_FEMALE_YOUNG: &[&str] = &[
    "Anh", "Linh", "Trang", "Nhi", "Châu", "Hân", "My", "Vy", "Ngọc", "Hà", "Chi", "Thảo", "Phương", "Huyền",
    "Hương", "Mai", "Quỳnh", "Ngân", "Thư", "Trâm", "Yến", "Nhung", "Giang", "Hằng", "Dung", "Uyên", "Như", "Trinh",
    "Vân", "Lan", "Thy", "Khuê", "Diệp", "An", "Ánh", "Nguyên", "Tâm", "Tiên", "Hiền", "Duyên", "Thúy", "Loan",
];

/// A family name for an ethnic group (code of the 2009 census list) in a province (statistical code).
pub(crate) fn family(dice: &mut Dice, ethnicity: u8, province: u16) -> &'static str {
    // Weighted lists are small: walking them beats a prepared table in clarity, and costs less than the form's text.
    let list = match ethnicity {
        2 | 7 | 13 => FAMILIES_TAY_NUNG,
        3 => FAMILIES_THAI,
        4 => FAMILIES_MUONG,
        5 => FAMILIES_KHMER,
        6 => FAMILIES_HOA,
        8 => FAMILIES_MONG,
        9 => FAMILIES_DAO,
        10..=12 | 15 | 16 | 18 | 20 => FAMILIES_HIGHLAND,
        // Đà Nẵng (48) and what lies south of it.
        _ if province >= 48 => FAMILIES_SOUTH,
        _ => FAMILIES_NORTH,
    };
    dice.weighted(list)
}

/// Middle and given name for a person of that sex, born in that year, with that family name.
pub(crate) fn full(dice: &mut Dice, gender: Gender, birth_year: u16, family: &'static str) -> Name {
    // Fashion moved between the mid-seventies and the nineties; a birth year in between draws from either.
    let young = match birth_year {
        ..=1974 => false,
        1975..=1994 => dice.below(20) < u32::from(birth_year - 1974),
        _ => true,
    };
    let (middles, givens) = match (gender, young) {
        (Gender::Male, false) => (MIDDLES_MALE_OLD, GIVENS_MALE_OLD),
        (Gender::Male, true) => (MIDDLES_MALE_YOUNG, GIVENS_MALE_YOUNG),
        (Gender::Female, false) => (MIDDLES_FEMALE_OLD, GIVENS_FEMALE_OLD),
        (Gender::Female, true) => (MIDDLES_FEMALE_YOUNG, GIVENS_FEMALE_YOUNG),
    };
    let middle = dice.weighted(middles);
    let mut given = *dice.pick(givens);
    // A name does not say the same word twice in a row.
    while middle.split(' ').next_back() == Some(given) {
        given = *dice.pick(givens);
    }
    Name {
        family,
        middle: middle.to_owned(),
        given,
    }
}

#[cfg(test)]
mod tests {
    use unicode_normalization::is_nfc;

    use super::*;

    #[test]
    fn every_name_is_normalised() {
        let weighted = [
            FAMILIES_NORTH,
            FAMILIES_SOUTH,
            FAMILIES_TAY_NUNG,
            FAMILIES_THAI,
            FAMILIES_MUONG,
            FAMILIES_KHMER,
            FAMILIES_HOA,
            FAMILIES_MONG,
            FAMILIES_DAO,
            FAMILIES_HIGHLAND,
            MIDDLES_MALE_OLD,
            MIDDLES_MALE_YOUNG,
            MIDDLES_FEMALE_OLD,
            MIDDLES_FEMALE_YOUNG,
        ];
        let plain = [
            GIVENS_MALE_OLD,
            GIVENS_MALE_YOUNG,
            GIVENS_FEMALE_OLD,
            GIVENS_FEMALE_YOUNG,
        ];
        let all = weighted
            .iter()
            .flat_map(|list| list.iter().map(|(name, _)| *name));
        for name in all.chain(plain.iter().flat_map(|list| list.iter().copied())) {
            assert!(is_nfc(name), "a listed name is not in NFC");
        }
    }

    #[test]
    fn nguyen_is_the_commonest_family_name() {
        let mut dice = Dice::new(1, b"testname", 0);
        let count = (0..10_000)
            .filter(|_| family(&mut dice, 1, 1) == "Nguyễn")
            .count();
        assert!((3_400..4_300).contains(&count), "{count}");
    }
}
