//! What can be asked for, and by which keys.
use ratatui::crossterm::event::KeyCode;

/// What a key or a click asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Play what is selected; between games, the next one.
    Play,
    /// Pass.
    Pass,
    /// The best moves; again: the next best.
    Hint,
    /// Select nothing.
    Clear,
    /// Show the agent's view or hide it.
    Beliefs,
    /// The next key says who is marked.
    Mark,
    /// Mark the k-th other player.
    MarkPlayer(usize),
    /// Select one more card of this letter.
    Letter(char),
    /// The black ten that was just spelt is a red one.
    RedTen,
    /// Select this card of the hand, or no longer.
    Card(usize),
    /// Select the card under the cursor, or no longer.
    Toggle,
    /// Move the cursor, or step through a record.
    Step(isize),
    /// Show the red tens.
    Show,
    /// Keep them hidden.
    Keep,
    /// The next game.
    Next,
    /// The game before it.
    Previous,
    /// Look at the game again.
    Review,
    /// Write the games to a file.
    Save,
    /// Let the record play by itself.
    Run,
    /// Open or close the other hands.
    Hands,
    /// See it from the next seat.
    Turn,
    /// The next move that the agent would have made otherwise.
    Moment,
    /// A shorter delay.
    Faster,
    /// A longer one.
    Slower,
    /// The other language.
    Language,
    /// The help.
    Help,
    /// Leave.
    Leave,
}

/// A ten that is spelt out, `10h`: how many of its keys were pressed, and what the next one asks for.
pub fn spell_ten(spelt: &mut u8, code: KeyCode) -> Option<Action> {
    let (next, action) = match (*spelt, code) {
        (_, KeyCode::Char('1')) => (1, None),
        (1, KeyCode::Char('0')) => (2, Some(Action::Letter('T'))),
        (2, KeyCode::Char('h' | 'H' | 'd' | 'D' | '♥')) => (0, Some(Action::RedTen)),
        _ => (0, None),
    };
    *spelt = next;
    action
}

/// What a key asks for at the table: `marks` when a digit marks a player, `over` after a game, `asked` when the player is asked to show
/// red tens.
pub fn table_key(code: KeyCode, marks: bool, over: bool, asked: bool) -> Option<Action> {
    Some(match code {
        KeyCode::Char(c @ '1'..='3') if marks => Action::MarkPlayer(c as usize - '1' as usize),
        KeyCode::Enter if over => Action::Next,
        KeyCode::Char('n' | 'N') if over => Action::Next,
        KeyCode::Char('v' | 'V') if over => Action::Review,
        KeyCode::Char('y' | 'Y') if asked => Action::Show,
        KeyCode::Char('n' | 'N') if asked => Action::Keep,
        KeyCode::Enter => Action::Play,
        KeyCode::Char(' ') | KeyCode::Up | KeyCode::Down => Action::Toggle,
        KeyCode::Left => Action::Step(-1),
        KeyCode::Right => Action::Step(1),
        KeyCode::Home => Action::Step(-99),
        KeyCode::End => Action::Step(99),
        KeyCode::Esc | KeyCode::Backspace | KeyCode::Delete => Action::Clear,
        KeyCode::Char(c) => match c {
            // The jokers are w and W.
            'w' | 'W' | '2'..='9' => Action::Letter(c),
            '0' => Action::Letter('T'),
            't' | 'r' | 'j' | 'q' | 'k' | 'a' | 'T' | 'R' | 'J' | 'Q' | 'K' | 'A' => {
                Action::Letter(c.to_ascii_uppercase())
            }
            'p' | 'P' => Action::Pass,
            'h' | 'H' => Action::Hint,
            'c' | 'C' => Action::Clear,
            'b' | 'B' => Action::Beliefs,
            'm' | 'M' => Action::Mark,
            's' | 'S' => Action::Save,
            'l' | 'L' => Action::Language,
            '+' | '=' => Action::Slower,
            '-' | '_' => Action::Faster,
            '?' => Action::Help,
            'x' | 'X' => Action::Leave,
            _ => return None,
        },
        KeyCode::F(1) => Action::Help,
        _ => return None,
    })
}

/// What a key asks for while a record is looked at.
pub fn viewer_key(code: KeyCode) -> Option<Action> {
    Some(match code {
        KeyCode::Left | KeyCode::Up => Action::Step(-1),
        KeyCode::Right | KeyCode::Down | KeyCode::Enter => Action::Step(1),
        KeyCode::PageUp => Action::Step(-10),
        KeyCode::PageDown => Action::Step(10),
        KeyCode::Home => Action::Step(isize::MIN),
        KeyCode::End => Action::Step(isize::MAX),
        KeyCode::Tab => Action::Turn,
        KeyCode::Esc => Action::Leave,
        KeyCode::F(1) => Action::Help,
        KeyCode::Char(c) => match c.to_ascii_lowercase() {
            ' ' => Action::Run,
            'o' => Action::Hands,
            'm' => Action::Moment,
            'n' => Action::Next,
            'p' => Action::Previous,
            'l' => Action::Language,
            '+' | '=' => Action::Faster,
            '-' | '_' => Action::Slower,
            '?' => Action::Help,
            'x' | 'q' => Action::Leave,
            _ => return None,
        },
        _ => return None,
    })
}
