//! The text as a list of pieces: sentences, items, scenarios, each with the section it stands in.
//!
//! One walk over the lines with a little memory (which section, inside a fence or not). Everything after this
//! reasons about pieces. Never: an opinion about type or priority.

use super::clauses::list_parts;
use super::cue::{Cue, Section};
use super::fold::Span;
use super::headings::{Heading, heading_at_start, inside, section_of_heading};
use super::lexicon::Hit;
use super::lines::{Line, Mark, lines};
use super::scenario::ends_with_then;
use super::sentences::sentences;

/// Where a piece stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    In(Section),
    /// A ticked checkbox: done already.
    Done,
    Code,
    Trace,
    /// Tries to steer the parser; see `injection`.
    Injected,
}

/// What a piece looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Heading,
    Sentence,
    Item,
    Checkbox,
    Scenario,
    /// Part of a list within one sentence, after "Done when".
    Listed,
}

/// A stretch of text that is judged as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The content, trimmed.
    pub(crate) span: Span,
    /// With the label in front ("Expected:"), so that no word of the text is lost.
    pub(crate) whole: Span,
    pub(crate) zone: Zone,
    pub(crate) shape: Shape,
}

/// All pieces of the text, in order and without overlap.
pub(crate) fn pieces(text: &str, folded: &str, hits: &[Hit]) -> Vec<Piece> {
    let all = lines(text);
    let mut walk = Walk {
        text,
        folded,
        hits,
        out: Vec::new(),
        section: Section::Request,
        full: false,
        fence: None,
        paragraph: None,
        item: None,
        trace: false,
    };
    let mut at = 0;
    while let Some(line) = all.get(at) {
        at = walk.line(&all, at, *line);
    }
    walk.flush();
    walk.out
}

struct Walk<'a> {
    text: &'a str,
    folded: &'a str,
    hits: &'a [Hit],
    out: Vec<Piece>,
    section: Section,
    /// The section has content, so that prose after a blank line may end it.
    full: bool,
    /// Inside a fence; true when it holds a scenario.
    fence: Option<bool>,
    /// Lines of prose not yet cut into sentences.
    paragraph: Option<Span>,
    /// Columns of the item that an indented line would continue.
    item: Option<usize>,
    /// The line before belongs to a stack trace.
    trace: bool,
}

impl Walk<'_> {
    /// Handles the line at index `at` and returns the index of the next one.
    fn line(&mut self, all: &[Line], at: usize, line: Line) -> usize {
        if let Mark::Fence { scenario } = line.mark {
            self.flush();
            self.fence = if self.fence.is_some() { None } else { Some(scenario) };
            return at + 1;
        }
        if self.fence == Some(false) {
            self.push(line.body, line.body, Zone::Code, Shape::Sentence);
            return at + 1;
        }
        if let Some(end) = self.scenario(all, at) {
            return end;
        }
        let after_blank = at
            .checked_sub(1)
            .and_then(|before| all.get(before))
            .is_none_or(|before| before.mark == Mark::Blank);
        match line.mark {
            Mark::Blank | Mark::Rule | Mark::Fence { .. } => self.gap(line.mark),
            Mark::Trace => self.trace(line),
            Mark::Heading => self.heading(line),
            Mark::Checkbox { ticked } => self.checkbox(line, ticked),
            Mark::Item => self.item(line),
            Mark::Prose => self.prose(all, at, line, after_blank),
        }
        at + 1
    }

    fn gap(&mut self, mark: Mark) {
        self.flush();
        self.item = None;
        self.trace = false;
        if mark == Mark::Rule {
            self.enter(Section::Request);
        }
    }

    fn trace(&mut self, line: Line) {
        self.flush();
        self.trace = true;
        self.push(line.body, line.body, Zone::Trace, Shape::Sentence);
    }

    fn heading(&mut self, line: Line) {
        self.flush();
        self.item = None;
        let labelled = heading_at_start(self.text, self.hits, line.body, true);
        self.enter(section_of_heading(self.text, self.hits, line.body).unwrap_or(Section::Request));
        match labelled {
            Some(found) if !found.rest.is_empty() => self.labelled(found, line.body),
            Some(_) => {}
            None => self.push(line.body, line.body, Zone::In(self.section), Shape::Heading),
        }
    }

    fn checkbox(&mut self, line: Line, ticked: bool) {
        self.flush();
        self.full = true;
        self.item = Some(line.indent);
        let zone = if ticked { Zone::Done } else { Zone::In(self.section) };
        self.push(line.body, line.body, zone, Shape::Checkbox);
    }

    fn item(&mut self, line: Line) {
        self.flush();
        self.item = Some(line.indent);
        match heading_at_start(self.text, self.hits, line.body, false) {
            // "3. Acceptance criteria:" as a line of its own is a heading in spite of its number.
            Some(found) if found.rest.is_empty() => self.enter(found.section),
            Some(found) if self.section == Section::Request => self.labelled(found, line.body),
            Some(_) | None => {
                self.full = true;
                self.push(line.body, line.body, Zone::In(self.section), Shape::Item);
            }
        }
    }

    fn prose(&mut self, all: &[Line], at: usize, line: Line, after_blank: bool) {
        if self.trace && line.indent >= 2 {
            return self.trace(line);
        }
        self.trace = false;
        if let Some(found) = heading_at_start(self.text, self.hits, line.body, true) {
            self.flush();
            self.item = None;
            return self.labelled(found, line.body);
        }
        if let Some(columns) = self.item {
            if line.indent > columns && self.extend_item(line) {
                return;
            }
            self.item = None;
        }
        let items_follow = all
            .get(at + 1)
            .is_some_and(|next| matches!(next.mark, Mark::Item | Mark::Checkbox { .. }));
        if items_follow && self.leads_in(line) {
            self.flush();
            return self.enter(Section::Acceptance);
        }
        if after_blank && self.full && self.section != Section::Request {
            self.enter(Section::Request);
        }
        self.full = true;
        self.add_to_paragraph(line);
    }

    /// "The export must:" in front of a list.
    fn leads_in(&self, line: Line) -> bool {
        let strong = |hit: &Hit| hit.cue == Cue::Modal && hit.weight >= 0.7;
        line.body.of(self.text).ends_with([':', '：']) && inside(self.hits, line.body).any(strong)
    }

    fn extend_item(&mut self, line: Line) -> bool {
        match self.out.last_mut() {
            Some(last) if matches!(last.shape, Shape::Item | Shape::Checkbox) => {
                last.span.end = line.body.end;
                last.whole.end = line.body.end;
                true
            }
            Some(_) | None => false,
        }
    }

    /// A soft line break continues the sentence; after a short or finished line a new one begins.
    fn add_to_paragraph(&mut self, line: Line) {
        const WRAPPED_BYTES: usize = 45;
        if let Some(open) = self.paragraph {
            let before = open.of(self.text);
            let last_line = before.rsplit('\n').next().unwrap_or(before).trim_end();
            let finished = last_line.ends_with(['.', '!', '?', ':', ';', '。', '！', '？', '：']);
            if last_line.len() >= WRAPPED_BYTES && !finished {
                self.paragraph = Some(Span::new(open.start, line.body.end));
                return;
            }
            self.flush();
        }
        self.paragraph = Some(line.body);
    }

    /// Cuts the open paragraph into sentences.
    fn flush(&mut self) {
        let Some(span) = self.paragraph.take() else { return };
        for sentence in sentences(self.text, self.folded, span) {
            match heading_at_start(self.text, self.hits, sentence, false) {
                Some(found) => self.labelled(found, sentence),
                None => self.push(sentence, sentence, Zone::In(self.section), Shape::Sentence),
            }
        }
    }

    /// A label with or without text behind it. A label of notes ("Priority: high") speaks for its line only.
    fn labelled(&mut self, found: Heading, whole: Span) {
        let before = (self.section, self.full);
        self.enter(found.section);
        if found.rest.is_empty() {
            // The words of the label may matter ("Priority" with its value in the next line).
            return self.push(whole, whole, Zone::In(found.section), Shape::Heading);
        }
        self.full = true;
        if found.lists || found.section == Section::Acceptance {
            self.listed(found.rest, whole);
        } else {
            self.told(found, whole);
        }
        if found.section == Section::Other {
            (self.section, self.full) = before;
        }
    }

    /// The sentences behind a label; one of them may bring the next label: "Actual: a. Expected: b."
    fn told(&mut self, found: Heading, whole: Span) {
        let (mut start, mut section) = (whole.start, found.section);
        for sentence in sentences(self.text, self.folded, found.rest) {
            let next = heading_at_start(self.text, self.hits, sentence, false);
            // The first sentence follows its label, so a label in it is part of the text ("Steps: steps ...").
            let next = next.filter(|next| start > whole.start && !next.rest.is_empty());
            section = next.map_or(section, |next| next.section);
            let span = next.map_or(sentence, |next| next.rest);
            self.push(span, Span::new(start, sentence.end), Zone::In(section), Shape::Sentence);
            start = sentence.end;
        }
        self.section = section;
    }

    /// "a, b, and c." behind "Done when:"; parts of one or two words are no conditions, then it is one.
    fn listed(&mut self, rest: Span, whole: Span) {
        let mut start = whole.start;
        for sentence in sentences(self.text, self.folded, rest) {
            for part in list_parts(self.text, sentence) {
                self.push(
                    part,
                    Span::new(start, part.end),
                    Zone::In(Section::Acceptance),
                    Shape::Listed,
                );
                start = part.end;
            }
        }
    }

    fn scenario(&mut self, all: &[Line], at: usize) -> Option<usize> {
        let end = ends_with_then(self.text, self.hits, all, at)?;
        self.flush();
        let first = all.get(at)?.body;
        let last = all.get(end - 1)?.body;
        let span = Span::new(first.start, last.end);
        self.push(span, span, Zone::In(self.section), Shape::Scenario);
        self.item = None;
        Some(end)
    }

    fn enter(&mut self, section: Section) {
        self.section = section;
        self.full = false;
    }

    fn push(&mut self, span: Span, whole: Span, zone: Zone, shape: Shape) {
        if !span.is_empty() {
            self.out.push(Piece { span, whole, zone, shape });
        }
    }
}

#[cfg(test)]
mod tests;
