//! Dates as people write them: `2025-06-30`, `30.06.2025`, "30 June", "Friday", "tomorrow", 「6月30日」.
//!
//! Turns a few words into a day, relative to a given one. Never: a clock.

use chrono::{DateTime, Datelike, Days, NaiveDate, Utc, Weekday};

/// Names of the months, all spellings of one month on one line; the first letters are enough.
const MONTHS: [&str; 12] = [
    "january januar jänner janvier enero gennaio janeiro jan",
    "february februar février fevrier febrero febbraio fevereiro feb",
    "march märz maerz mars marzo março marco mar",
    "april avril abril aprile apr",
    "may mai mayo maggio maio",
    "june juni juin junio giugno junho jun",
    "july juli juillet julio luglio julho jul",
    "august août aout agosto aug",
    "september septembre septiembre settembre setembro sept sep",
    "october oktober octobre octubre ottobre outubro oct okt",
    "november novembre noviembre novembro nov",
    "december dezember décembre decembre diciembre dicembre dezembro dec dez",
];

/// Names of the days of the week, Monday first.
const WEEKDAYS: [&str; 7] = [
    "monday montag lundi lunes lunedì lunedi segunda segunda-feira mon 月曜日 月曜 周一 星期一 월요일",
    "tuesday dienstag mardi martes martedì martedi terça terça-feira tue 火曜日 火曜 周二 星期二 화요일",
    "wednesday mittwoch mercredi miércoles miercoles mercoledì mercoledi quarta quarta-feira wed 水曜日 水曜 周三 星期三 수요일",
    "thursday donnerstag jeudi jueves giovedì giovedi quinta quinta-feira thu 木曜日 木曜 周四 星期四 목요일",
    "friday freitag vendredi viernes venerdì venerdi sexta sexta-feira fri 金曜日 金曜 周五 星期五 금요일",
    "saturday samstag samedi sábado sabado sabato sat 土曜日 土曜 周六 星期六 토요일",
    "sunday sonntag dimanche domingo domenica sun 日曜日 日曜 周日 星期日 일요일",
];

const TODAY: &str = "today tonight heute aujourd'hui hoy oggi hoje 今日 本日 今天 今晚 오늘 eod";
const TOMORROW: &str = "tomorrow morgen demain mañana domani amanhã 明日 明天 내일";

/// The end of `day`, which is what "until Friday" means.
pub(crate) fn end_of(day: NaiveDate) -> Option<DateTime<Utc>> {
    day.and_hms_opt(23, 59, 59).map(|time| time.and_utc())
}

/// The day that `words` (lower case) begin with, counted from `today`.
pub(crate) fn day(words: &str, today: NaiveDate) -> Option<NaiveDate> {
    let words = words.trim_start_matches(|c: char| !c.is_alphanumeric());
    numeric(words, today).or_else(|| named(words, today)).or_else(|| relative(words, today))
}

fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let value = text
        .get(..digits)
        .filter(|digits| !digits.is_empty() && digits.len() <= 4)?
        .parse()
        .ok()?;
    Some((value, text.get(digits..)?))
}

/// `2025-06-30`, `2025/06/30`, `30.06.2025`, `30.06.`, `2025年6月30日`, `6月30日`, `6월 30일`.
fn numeric(words: &str, today: NaiveDate) -> Option<NaiveDate> {
    let (first, rest) = number(words)?;
    let sign = rest.chars().next()?;
    let rest = rest.get(sign.len_utf8()..)?.trim_start();
    match sign {
        '-' | '/' if first >= 1000 => {
            let (month, rest) = number(rest)?;
            let (day, _) = number(rest.get(1..)?)?;
            NaiveDate::from_ymd_opt(i32::try_from(first).ok()?, month, day)
        }
        '年' | '년' => {
            let (month, rest) = number(rest)?;
            let rest = rest.strip_prefix(['月', '월'])?.trim_start();
            NaiveDate::from_ymd_opt(i32::try_from(first).ok()?, month, number(rest)?.0)
        }
        '月' | '월' => next(first, number(rest)?.0, None, today),
        '.' if first <= 31 => {
            let (month, rest) = number(rest)?;
            let rest = rest.strip_prefix('.')?;
            let year = number(rest).map(|(year, _)| year);
            // Of `1.9.2` the last number is no year, so it is a version.
            (month <= 12 && year.is_none_or(|year| year >= 1000))
                .then(|| next(month, first, year, today))
                .flatten()
        }
        _ => None,
    }
}

/// "30 June 2025", "June 30th", "28. Juni", "1er juillet", "30 de junio".
fn named(words: &str, today: NaiveDate) -> Option<NaiveDate> {
    let tokens: Vec<&str> = words
        .split([' ', ',', '.', '\u{a0}'])
        .filter(|token| !matches!(*token, "" | "de" | "of" | "the" | "den" | "le" | "el" | "il"))
        .take(4)
        .collect();
    let first = tokens.first()?;
    let second = tokens.get(1)?;
    let (month, day) = match (month(first), month(second)) {
        (Some(month), _) => (month, ordinal(second)?),
        (None, Some(month)) => (month, ordinal(first)?),
        (None, None) => return None,
    };
    let year = tokens
        .get(2)
        .and_then(|token| number(token))
        .map(|(year, _)| year)
        .filter(|year| *year >= 1000);
    next(month, day, year, today)
}

fn ordinal(token: &str) -> Option<u32> {
    let (value, rest) = number(token)?;
    (rest.len() <= 2 && (1..=31).contains(&value)).then_some(value)
}

/// Whether `word` (lower case) names a month.
pub(crate) fn is_month(word: &str) -> bool {
    month(word).is_some()
}

fn month(token: &str) -> Option<u32> {
    (1_u32..)
        .zip(MONTHS)
        .find(|(_, names)| names.split(' ').any(|name| name == token))
        .map(|(number, _)| number)
}

/// The next such day if no year is given.
fn next(month: u32, day: u32, year: Option<u32>, today: NaiveDate) -> Option<NaiveDate> {
    if let Some(year) = year {
        return NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day);
    }
    let this = NaiveDate::from_ymd_opt(today.year(), month, day)?;
    if this >= today { Some(this) } else { NaiveDate::from_ymd_opt(today.year() + 1, month, day) }
}

fn relative(words: &str, today: NaiveDate) -> Option<NaiveDate> {
    let starts = |list: &str| list.split(' ').any(|word| words.starts_with(word));
    if starts(TODAY) || words.starts_with("end of day") || words.starts_with("end of the day") {
        return Some(today);
    }
    if starts(TOMORROW) {
        return today.checked_add_days(Days::new(1));
    }
    if ["end of week", "end of the week", "ende der woche", "fin de semaine", "fin de semana"]
        .iter()
        .any(|phrase| words.starts_with(phrase))
    {
        return weekday(today, Weekday::Fri);
    }
    let days = [
        Weekday::Mon,
        Weekday::Tue,
        Weekday::Wed,
        Weekday::Thu,
        Weekday::Fri,
        Weekday::Sat,
        Weekday::Sun,
    ];
    let skipped = [
        "next ",
        "this ",
        "coming ",
        "nächsten ",
        "kommenden ",
        "diesen ",
        "le ",
        "el ",
        "il ",
        "este ",
        "am ",
    ];
    let bare = skipped.iter().find_map(|word| words.strip_prefix(word)).unwrap_or(words);
    let token: String = bare.chars().take_while(|c| c.is_alphanumeric() || *c == '-').collect();
    let found = days
        .into_iter()
        .zip(WEEKDAYS)
        .find(|(_, names)| names.split(' ').any(|name| is_name(&token, name)))?;
    weekday(today, found.0)
}

/// Names of three letters have to match in full; in scripts without spaces the name is a beginning.
fn is_name(token: &str, name: &str) -> bool {
    if name.is_ascii() { token == name } else { token.starts_with(name) }
}

/// The next such day, today included.
fn weekday(today: NaiveDate, wanted: Weekday) -> Option<NaiveDate> {
    let ahead = (7 + wanted.num_days_from_monday() - today.weekday().num_days_from_monday()) % 7;
    today.checked_add_days(Days::new(u64::from(ahead)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(words: &str, expected: Option<(i32, u32, u32)>) {
        // A Wednesday.
        let today = NaiveDate::from_ymd_opt(2025, 6, 4).unwrap();
        let expected =
            expected.and_then(|(year, month, day)| NaiveDate::from_ymd_opt(year, month, day));
        assert_eq!(day(words, today), expected, "{words}");
    }

    #[test]
    fn dates_are_read_in_the_spellings_of_nine_languages() {
        check("2025-06-30.", Some((2025, 6, 30)));
        check("30.06.2025", Some((2025, 6, 30)));
        check("30.06.", Some((2025, 6, 30)));
        check("28. juni", Some((2025, 6, 28)));
        check("june 30th, 2026", Some((2026, 6, 30)));
        check("1 july", Some((2025, 7, 1)));
        check("1 january the law", Some((2026, 1, 1)));
        check("15 de julio", Some((2025, 7, 15)));
        check("2025年6月30日", Some((2025, 6, 30)));
        check("6月30日まで", Some((2025, 6, 30)));
        check("7월 1일", Some((2025, 7, 1)));
        check("friday at noon", Some((2025, 6, 6)));
        check("金曜日までに", Some((2025, 6, 6)));
        check("周五", Some((2025, 6, 6)));
        check("monday's release", Some((2025, 6, 9)));
        check("tomorrow", Some((2025, 6, 5)));
        check("heute", Some((2025, 6, 4)));
    }

    #[test]
    fn other_numbers_are_no_dates() {
        for words in [
            "1.9.2",
            "v1.2",
            "500 users",
            "31.31.",
            "80 ms",
            "the release",
            "",
            "mondays",
            "99999999-1-1",
        ] {
            check(words, None);
        }
    }
}
