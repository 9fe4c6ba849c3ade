//! Tells the language of a text from its script and its small words.
//!
//! Only good enough to choose word lists and to label a task; texts of a few words stay undecided, and then
//! all word lists of the script are used.

use super::fold::is_word;

/// Languages the lexicon speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Tongue {
    English,
    German,
    French,
    Spanish,
    Italian,
    Portuguese,
    Japanese,
    Chinese,
    Korean,
}

/// The language of a text, as far as it can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Detected {
    /// BCP 47; `und` when nothing speaks for any language.
    pub(crate) tag: &'static str,
    /// False when it is only the best guess, for example for two words.
    pub(crate) certain: bool,
}

impl Tongue {
    pub(crate) fn tagged(tag: &str) -> Option<Self> {
        Some(match tag {
            "en" => Self::English,
            "de" => Self::German,
            "fr" => Self::French,
            "es" => Self::Spanish,
            "it" => Self::Italian,
            "pt" => Self::Portuguese,
            "ja" => Self::Japanese,
            "zh" => Self::Chinese,
            "ko" => Self::Korean,
            _ => return None,
        })
    }

    const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::German => "de",
            Self::French => "fr",
            Self::Spanish => "es",
            Self::Italian => "it",
            Self::Portuguese => "pt",
            Self::Japanese => "ja",
            Self::Chinese => "zh",
            Self::Korean => "ko",
        }
    }

    /// Han, kana and Hangul cannot be mistaken for Latin words, so their lists need no check.
    pub(crate) const fn has_own_script(self) -> bool {
        matches!(self, Self::Japanese | Self::Chinese | Self::Korean)
    }
}

impl Detected {
    /// Whether the word list of `tongue` applies to the text.
    pub(crate) fn allows(self, tongue: Tongue) -> bool {
        tongue.has_own_script() || !self.certain || self.tag == tongue.tag()
    }
}

/// How much of the beginning is looked at: enough for certainty, and it bounds the work for huge texts.
const SAMPLE_CHARS: usize = 3000;

/// Small words, some of which are enough to tell a language. Words shared by neighbours are left out.
const SMALL_WORDS: [(&str, &str); 9] = [
    (
        "en",
        "the and is are was were to of in for on with that this it not be can should must when we our please as an or from by at they you your have has does add fix but only which their there after into than if what how all new",
    ),
    (
        "de",
        "der die das und ist sind nicht ein eine einen einem einer zu den dem des mit für auf im in bei wird werden kann soll sollen muss müssen bitte wenn auch nach seit wir unsere als oder aus vom zum zur es sich noch nur über keine kein damit beim ohne dass daß mehr alle",
    ),
    (
        "fr",
        "le la les des une est sont pas et du de dans pour sur avec que qui ne au aux nous vous il elle ce cette ces doit doivent peut être depuis quand plus par ou sans lors leur leurs sous en un l d c n s qu à été tous",
    ),
    (
        "es",
        "el la los las una es son y del de en para por con que no se al lo su sus debe deben puede pueden cuando desde está están hay más como sin o pero también este esta un ya muy nuestro nos le les cada todos",
    ),
    (
        "it",
        "il lo la gli le una è sono e del della dei delle di in per con che non si al alla nel nella da dal dalla deve devono può possono quando più come senza o ma anche questo questa un i ogni dopo viene tutti agli degli sul sulla",
    ),
    (
        "pt",
        "o os as uma é são e do da dos das de em para por com que não se ao à no na nos nas deve devem pode podem quando desde está estão mais como sem ou mas também este esta um já muito nosso nossa cada após ser todos pelo pela até",
    ),
    (
        "nl",
        "de het een en is zijn niet van voor met op aan dat die wordt worden kan moet moeten als ook naar sinds wij onze of uit bij deze geen maar om te door wanneer",
    ),
    (
        "pl",
        "i w na z do nie jest są się że dla po przez oraz jak lub przy od gdy musi powinien być ten ta to proszę tylko już",
    ),
    (
        "sv",
        "och att det är en ett inte som för på med av den till kan ska måste när vi från om eller har efter alla utan bara",
    ),
];

/// The language of `text`, from its first part.
pub(crate) fn detect(text: &str) -> Detected {
    by_script(text).unwrap_or_else(|| by_small_words(text))
}

#[derive(Default)]
struct Scripts {
    kana: usize,
    han: usize,
    hangul: usize,
    cyrillic: usize,
    greek: usize,
    arabic: usize,
    hebrew: usize,
    thai: usize,
    devanagari: usize,
    latin: usize,
}

fn count_scripts(text: &str) -> Scripts {
    let mut seen = Scripts::default();
    for c in text.chars().take(SAMPLE_CHARS) {
        match c {
            '\u{3041}'..='\u{30ff}' => seen.kana += 1,
            '\u{3400}'..='\u{9fff}' => seen.han += 1,
            '\u{ac00}'..='\u{d7af}' => seen.hangul += 1,
            '\u{0400}'..='\u{04ff}' => seen.cyrillic += 1,
            '\u{0370}'..='\u{03ff}' => seen.greek += 1,
            '\u{0600}'..='\u{06ff}' => seen.arabic += 1,
            '\u{0590}'..='\u{05ff}' => seen.hebrew += 1,
            '\u{0e00}'..='\u{0e7f}' => seen.thai += 1,
            '\u{0900}'..='\u{097f}' => seen.devanagari += 1,
            'a'..='z' | 'A'..='Z' | '\u{00c0}'..='\u{024f}' => seen.latin += 1,
            _ => {}
        }
    }
    seen
}

/// A script that is not Latin decides. A character of Han or Hangul says as much as three Latin letters, and
/// names of files and products are Latin everywhere.
fn by_script(text: &str) -> Option<Detected> {
    let seen = count_scripts(text);
    let east = seen.kana + seen.han + seen.hangul;
    let certain = |tag| Some(Detected { tag, certain: true });
    if east * 4 > seen.latin && east > 0 {
        return certain(match () {
            () if seen.hangul * 2 > seen.kana + seen.han => "ko",
            () if seen.kana * 10 > seen.han => "ja",
            () => "zh",
        });
    }
    let others = [
        (seen.cyrillic, "ru"),
        (seen.greek, "el"),
        (seen.arabic, "ar"),
        (seen.hebrew, "he"),
        (seen.thai, "th"),
        (seen.devanagari, "hi"),
    ];
    others
        .into_iter()
        .find(|(count, _)| count * 2 > seen.latin && *count > 0)
        .and_then(|(_, tag)| certain(tag))
}

fn by_small_words(text: &str) -> Detected {
    let sample: String = text.chars().take(SAMPLE_CHARS).flat_map(char::to_lowercase).collect();
    let words: Vec<&str> =
        sample.split(|c| !is_word(c)).filter(|word| word.contains(char::is_alphabetic)).collect();
    let mut scores: Vec<(usize, &'static str)> = SMALL_WORDS
        .iter()
        .map(|(tag, list)| (3 * count_words(&words, list) + letters_of(tag, &sample), *tag))
        .collect();
    // A stable sort: of two equal scores the earlier language of the table wins, English first.
    scores.sort_by_key(|(score, _)| std::cmp::Reverse(*score));
    match scores.as_slice() {
        [(0, _), ..] | [] => {
            Detected { tag: if words.is_empty() { "und" } else { "en" }, certain: false }
        }
        [(best, tag), (second, _), ..] => Detected { tag, certain: *best >= 4 && best > second },
        [(_, tag)] => Detected { tag, certain: true },
    }
}

fn count_words(words: &[&str], list: &str) -> usize {
    let list: Vec<&str> = list.split(' ').collect();
    words.iter().filter(|word| list.contains(word)).count()
}

/// Letters that only some of the languages use, one point each.
fn letters_of(tag: &str, sample: &str) -> usize {
    let letters: &[char] = match tag {
        "de" => &['ä', 'ö', 'ü', 'ß'],
        "fr" => &['é', 'è', 'ê', 'ç', 'à', 'œ', 'ù', 'û', '«'],
        "es" => &['ñ', '¿', '¡', 'ó', 'á', 'í', 'é', 'ú'],
        "it" => &['è', 'à', 'ò', 'ù', 'ì'],
        "pt" => &['ã', 'õ', 'ç', 'á', 'ê', 'â', 'é', 'ó', 'í'],
        "pl" => &['ł', 'ż', 'ś', 'ą', 'ę', 'ć', 'ń'],
        "sv" => &['å', 'ä', 'ö'],
        _ => &[],
    };
    sample.chars().filter(|c| letters.contains(c)).count()
}

#[cfg(test)]
mod tests {
    use super::detect;

    #[track_caller]
    fn check(tag: &str, text: &str) {
        assert_eq!(detect(text).tag, tag, "{text}");
    }

    #[test]
    fn languages_are_told_apart() {
        check("en", "Add a button to the contacts page");
        check("en", "login broken");
        check("de", "Bitte eine Druckansicht für Lieferscheine ergänzen.");
        check("fr", "Le bouton ne fonctionne plus depuis la mise à jour.");
        check("es", "Añadir un filtro por fecha en la lista de pedidos.");
        check("it", "Il totale del carrello è sbagliato quando si usa un buono.");
        check("pt", "O relatório mensal não abre quando o mês ainda não terminou.");
        check("ja", "READMEのインストール手順が古いので更新してください。");
        check("zh", "新增导出功能：用户可以把报表导出为Excel。");
        check("ko", "API 문서에 인증 방법을 추가해 주세요.");
        check("ru", "Добавить кнопку экспорта");
        check("und", "1234 !!! ???");
    }

    #[test]
    fn two_words_are_not_certain() {
        assert!(!detect("login broken").certain);
        assert!(detect("The login of the new page is broken for all users").certain);
    }
}
