//! A line of the ledger: one message, known by who sent it to whom as the how manieth.

/// A message. Accounts are numbered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The sender.
    pub from: u32,
    /// The recipient.
    pub to: u32,
    /// From 1, for each pair of sender and recipient.
    pub sequence: u32,
}

/// Markup, and characters of two to four bytes: what is easily spoilt.
const FILLER: &str = "<&'\">]]> ü☾🜂 ";

impl Line {
    /// The id of the stanza.
    pub fn id(self) -> String {
        let Self { from, to, sequence } = self;
        format!("{from}-{to}-{sequence}")
    }

    /// The line whose stanza has this id.
    pub fn from_id(id: &str) -> Option<Self> {
        let mut numbers = id.split('-').map(|number| number.parse().ok());
        let line = Self { from: numbers.next()??, to: numbers.next()??, sequence: numbers.next()?? };
        (line.id() == id).then_some(line)
    }

    /// The message's body. Follows from the line: any other text was altered.
    pub fn text(self, run: &str) -> String {
        let filler = FILLER.repeat(1 + self.sequence as usize % 8);
        format!("ledger {run} {} {filler}", self.id())
    }

    /// The line that a body tells of.
    ///
    /// # Errors
    /// The text, if it is no line of this run as it was written.
    pub fn from_text(run: &str, text: &str) -> Result<Self, String> {
        let line = text.split(' ').nth(2).and_then(Self::from_id);
        line.filter(|line| line.text(run) == text).ok_or_else(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_back_and_any_change_is_noticed() {
        let line = Line { from: 1, to: 2, sequence: 30 };
        let text = line.text("run");
        assert_eq!(Line::from_text("run", &text), Ok(line));
        assert_eq!(Line::from_id(&line.id()), Some(line));
        for altered in
            [text.replace("30", "31"), text.replace('☾', "?"), text.clone() + " ", text.replace("run", "nur")]
        {
            assert_eq!(Line::from_text("run", &altered), Err(altered));
        }
        assert_eq!(Line::from_id("1-2"), None);
        assert_eq!(Line::from_id("1-2-03"), None);
    }
}
