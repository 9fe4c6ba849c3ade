//! Texts cut into pieces: titles, lists, scenarios, fences.

use super::*;
use crate::task::fold::fold;
use crate::task::language::detect;
use crate::task::lexicon::search;

/// One line per piece: zone, shape, content (line breaks shown as `/`).
fn render(text: &str) -> String {
    let folded = fold(text);
    let hits = search(&folded, detect(text));
    let zone = |zone: Zone| match zone {
        Zone::In(section) => format!("{section:?}"),
        Zone::Done | Zone::Code | Zone::Trace | Zone::Injected => format!("{zone:?}"),
    };
    pieces(text, &folded, &hits)
        .into_iter()
        .map(|piece| {
            format!(
                "{} {:?} | {}\n",
                zone(piece.zone),
                piece.shape,
                piece.span.of(text).replace('\n', "/")
            )
        })
        .collect()
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(render(text).trim_end(), expected.trim());
}

#[test]
fn a_bug_report_falls_into_its_sections() {
    check(
        "# Crash when opening settings\n\n## Steps to reproduce\n- open the app\n- tap the gear\n\n## Expected behaviour\nSettings screen opens\n\n## Environment\nAndroid 14\n",
        "
Request Heading | Crash when opening settings
Steps Item | open the app
Steps Item | tap the gear
Expected Sentence | Settings screen opens
Other Sentence | Android 14",
    );
}

#[test]
fn lists_under_acceptance_headings_end_with_prose() {
    check(
        "Requirements\n1. Search is case-insensitive.\n2. Results appear.\n\nPlease build this.",
        "
Acceptance Heading | Requirements
Acceptance Item | Search is case-insensitive.
Acceptance Item | Results appear.
Request Sentence | Please build this.",
    );
}

#[test]
fn labels_inside_a_line_are_found() {
    check(
        "Add rate limiting to the public API. Done when: 100 requests per minute are allowed, the 101st gets a 429, and limits are configurable.",
        "
Request Sentence | Add rate limiting to the public API.
Acceptance Listed | 100 requests per minute are allowed
Acceptance Listed | the 101st gets a 429
Acceptance Listed | limits are configurable",
    );
    check(
        "Priority: high\nThe export is broken.",
        "Other Sentence | high\nRequest Sentence | The export is broken.",
    );
}

#[test]
fn scenarios_are_one_piece_each_and_prose_is_none() {
    check(
        "Lock accounts\nGiven 5 wrong passwords\nWhen the user tries again\nThen the account is locked",
        "Request Sentence | Lock accounts\nRequest Scenario | Given 5 wrong passwords/When the user tries again/Then the account is locked",
    );
    check(
        "When I click on save\nnothing happens",
        "Request Sentence | When I click on save\nRequest Sentence | nothing happens",
    );
}

#[test]
fn code_traces_and_ticked_boxes_are_set_apart() {
    check(
        "It fails:\n```\nlet x = 1;\n```\nTypeError: x is undefined\n    at UserList (src/a.jsx:1:2)\n- [x] looked at it\n- [ ] fixed it",
        "
Request Sentence | It fails:
Code Sentence | let x = 1;
Trace Sentence | TypeError: x is undefined
Trace Sentence | at UserList (src/a.jsx:1:2)
Done Checkbox | looked at it
Request Checkbox | fixed it",
    );
}

#[test]
fn wrapped_lines_make_one_sentence_and_items_go_on_when_indented() {
    check(
        "The time zone should be derived from the address of the\ncustomer. It can be changed.\n- an item\n  that goes on\nThe end",
        "
Request Sentence | The time zone should be derived from the address of the/customer.
Request Sentence | It can be changed.
Request Item | an item/  that goes on
Request Sentence | The end",
    );
}

#[test]
fn a_modal_before_a_list_makes_its_items_conditions() {
    check(
        "The export must:\n- be UTF-8\n- have a header",
        "Acceptance Item | be UTF-8\nAcceptance Item | have a header",
    );
}

#[test]
fn several_labels_may_share_a_line() {
    check(
        "Steps: 1. open a report 2. press F5. Actual: filters are reset. Expected: filters are kept.",
        "
Steps Sentence | 1.
Steps Sentence | open a report 2.
Steps Sentence | press F5.
Steps Sentence | filters are reset.
Expected Sentence | filters are kept.",
    );
}
