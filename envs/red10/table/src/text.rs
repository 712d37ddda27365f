//! Every text of the table in both languages, side by side, so that none can be missing.
use rlx_red10::{Cards, Kind, Move, Rules, SEATS, cards::TEN};

/// A language.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lang {
    /// English.
    En,
    /// Chinese.
    Zh,
}

impl Lang {
    /// Its texts.
    pub fn text(self) -> &'static Text {
        match self {
            Self::En => &EN,
            Self::Zh => &ZH,
        }
    }
    /// The text of this language.
    pub fn pick<'a>(self, en: &'a str, zh: &'a str) -> &'a str {
        match self {
            Self::En => en,
            Self::Zh => zh,
        }
    }
    /// The other one.
    pub fn other(self) -> Self {
        if self == Self::En { Self::Zh } else { Self::En }
    }
    /// The one that the environment asks for, by the order of POSIX: the first of LC_ALL, LC_MESSAGES and LANG that says something.
    pub fn of_environment(get: impl Fn(&str) -> Option<String>) -> Self {
        let said = ["LC_ALL", "LC_MESSAGES", "LANG"].into_iter().filter_map(get).find(|v| !v.is_empty());
        if said.is_some_and(|v| v.to_lowercase().starts_with("zh")) { Self::Zh } else { Self::En }
    }
}

macro_rules! texts {
    ($($name:ident: $en:literal, $zh:literal;)*) => {
        /// The texts of a language; `{0}`, `{1}`, ... are filled in by [`fill`].
        pub struct Text {
            /// The language.
            pub lang: Lang,
            $(#[doc = concat!("```text\n", $en, "\n```")] pub $name: &'static str,)*
        }
        static EN: Text = Text { lang: Lang::En, $($name: $en,)* };
        static ZH: Text = Text { lang: Lang::Zh, $($name: $zh,)* };
        #[cfg(test)]
        const ALL: &[(&str, &str, &str)] = &[$((stringify!($name), $en, $zh),)*];
    };
}

texts! {
    // The head line.
    red10: "Red-10", "红十";
    game_n: "game {0}", "第{0}局";
    seed_n: "seed {0}", "种子{0}";
    ply_n: "ply {0} of {1}", "第{0}/{1}手";
    rules_folk4: "folk rules: red tens may be shown", "民间规则: 可亮红十";
    rules_paper: "paper rules: hidden teams", "论文规则: 队伍隐藏";
    rules_other: "house rules", "自定规则";
    stake_n: "stake x{0}", "{0}倍";
    tally: "won {0} lost {1} of {2}; red {3} black {4}", "胜{0} 负{1} 共{2}局; 红{3} 黑{4}";
    delay_n: "delay {0}", "间隔{0}";
    // Seats.
    seat_n: "seat {0}", "{0}号";
    you: "you", "你";
    next: "next", "下家";
    across: "across", "对家";
    previous: "previous", "上家";
    human: "human", "玩家";
    // What is known of a player.
    cards_n: "{0} cards", "{0}张";
    card_1: "1 card", "1张";
    red_shown: "showed {0}", "已现 {0}";
    red_none: "no red ten seen", "红十未现";
    out_n: "out, place {0}", "已出完, 第{0}名";
    mark: "your mark: {0}", "你的标记: {0}";
    unknown: "? unknown", "? 未知";
    friend: "+ friend", "+ 队友";
    foe: "- foe", "- 对手";
    with_you: "with you", "同队";
    plays: "plays {0}", "出 {0}";
    passes: "passes", "不出";
    it_is_over: "The game is over.", "牌局结束。";
    to_move: "to move ...", "思考中 ...";
    showed: "shows {0}", "亮 {0}";
    team_red: "red team", "红队";
    team_black: "black team", "黑队";
    // The trick.
    to_beat: "to beat: {0} ({1}), by {2}", "要大过: {0} ({1}), {2}出";
    nothing_to_beat: "nothing to beat", "新一轮";
    passed: "passed: {0}", "不出: {0}";
    your_lead: "your lead", "轮到你领出";
    your_turn: "your turn", "轮到你";
    your_hand: "your hand", "手牌";
    your_red: "you hold {0}: red team", "你有{0}: 红队";
    your_black: "you hold no red ten: black team", "你没有红十: 黑队";
    asked: "Show your red tens? It doubles the stake and tells your team. y shows, n hides.",
        "要亮红十吗? 亮则翻倍, 队伍公开。y 亮, n 不亮。";
    new_here: "New to Red-10? ? twice has the rules.", "第一次玩? 按两次 ? 看规则。";
    only_pass: "Nothing you hold beats this: p or Enter passes.", "没有能大过的牌: 按 p 或回车不出。";
    // Why a play cannot be made.
    not_your_turn: "It is not your turn yet; cards can be selected already.", "还没轮到你; 可以先选牌。";
    select_first: "Select cards first: by their key, by arrows and space, or by mouse.", "请先选牌: 按牌面键, 或方向键加空格, 或点击。";
    must_lead: "You lead: a card must be played.", "轮到你领出, 必须出牌。";
    no_combination: "{0} is no combination. There are {1}. The rules: ? twice.", "{0} 不成牌型。牌型有: {1}。规则: 按两次 ?。";
    other_kind: "{0} is a {1}; a {2} must be followed by the same kind and length, or a bomb.",
        "{0} 是{1}; {2}只能用同类型同长度的牌或炸弹压。";
    not_higher: "{0} is not above {1}.", "{0} 大不过 {1}。";
    must_answer: "First say whether you show your red tens: y or n.", "请先决定亮不亮红十: y 或 n。";
    no_such_card: "You hold no {0}.", "你没有 {0}。";
    no_black_ten: "All your tens are red: r is a red ten.", "你的十都是红十: r 是红十。";
    pass_word: "pass", "不出";
    show_word: "show", "亮红十";
    keep_word: "keep hidden", "不亮";
    solo: "single card", "单张";
    pair: "pair", "对子";
    trio: "trio", "三张";
    trio_solo: "trio with a card", "三带一";
    trio_pair: "trio with a pair", "三带二";
    straight: "straight of {0}", "{0}张顺子";
    pair_chain: "chain of {0} pairs", "{0}连对";
    trio_chain: "chain of {0} trios", "{0}连飞机";
    trio_chain_solos: "chain of {0} trios with cards", "{0}连飞机带单";
    trio_chain_pairs: "chain of {0} trios with pairs", "{0}连飞机带对";
    four_solos: "four with two cards", "四带二";
    four_pairs: "four with two pairs", "四带两对";
    bomb: "bomb", "炸弹";
    // Hints, beliefs, marks.
    hint: "hint: {0}", "提示: {0}";
    hint_next: "h: next", "h: 下一个";
    wins: "{0} wins {1}", "{0} 胜率{1}";
    mark_whom: "Mark whom? 1 next, 2 across, 3 previous", "标记谁? 1 下家, 2 对家, 3 上家";
    marked: "{0}: {1}", "{0}: {1}";
    beliefs_on: "The agent's P(with you) is shown: its view, from your seat.", "显示AI估计的同队概率 (从你的座位看)。";
    beliefs_off: "The agent's view is hidden.", "已隐藏AI的估计。";
    beliefs_none: "This agent has no opinion on who is with you.", "这个AI没有同队估计。";
    // Notices.
    welcome: "Red-ten holders are one team; nobody is told. ? is help, ? twice the rules.",
        "红十持有者为一队, 身份保密。? 帮助, 再按 ? 规则。";
    delay_now: "The agents wait {0} before a move.", "AI出牌间隔 {0}。";
    saved: "The games are written to {0}.", "牌局已保存到 {0}。";
    save_failed: "Not saved: {0}", "未保存: {0}";
    paste_ignored: "Pasted text is not read.", "不读取粘贴的文字。";
    leave_ask: "Leave the game? x, y or Enter leaves, any other key stays.", "要离开吗? x, y 或回车离开, 其他键继续。";
    stay: "stay", "继续";
    deal_again: "The same deals again: rlx play red10 --rules {0} --seed {1}", "再打同样的牌: rlx play red10 --rules {0} --seed {1}";
    no_more: "There is no other game: {0}", "没有更多牌局: {0}";
    left_game: "The game is left; nobody wins.", "牌局中止, 没有胜负。";
    // The end.
    you_win: "You win ({0}).", "你赢了 ({0})。";
    you_lose: "You lose ({0}).", "你输了 ({0})。";
    draw: "A draw.", "平局。";
    red_wins: "The red team wins.", "红队胜。";
    black_wins: "The black team wins.", "黑队胜。";
    after_game: "n next game, v review, s save, x leave", "n 下一局, v 复盘, s 保存, x 离开";
    // Replays and reviews.
    review: "review", "复盘";
    replay: "replay", "回放";
    start: "the deal", "发牌";
    better: "better: {0}", "更好: {0}";
    costs: "costs {0} of winning", "损失胜率{0}";
    best_move: "the best move as the agent sees it", "AI也认为最好";
    thinks: "the agent's P(with {0}): {1}", "AI估计与{0}同队: {1}";
    adviser_thinks: "the agent's P(with you): {0}", "AI估计与你同队: {0}";
    no_regret: "The agent would have played the same everywhere.", "AI每一手都会这么出。";
    moments: "Moves the agent would have made otherwise: {0} (m goes to the next)", "有{0}手AI会另选 (m 跳到下一手)";
    playing: "playing", "播放中";
    left_record: "left after {0} plies", "{0}手后中止";
    // Buttons.
    b_play: "Play", "出牌";
    b_pass: "Pass", "不出";
    b_hint: "Hint", "提示";
    b_clear: "Clear", "重选";
    b_beliefs: "Beliefs", "估计";
    b_mark: "Mark", "标记";
    b_save: "Save", "保存";
    b_lang: "中文", "English";
    b_help: "Help", "帮助";
    b_leave: "Leave", "离开";
    b_show: "Show", "亮";
    b_keep: "Keep", "不亮";
    b_next: "Next game", "下一局";
    b_review: "Review", "复盘";
    b_back: "Back", "返回";
    b_run: "Play/stop", "播放/停";
    b_hands: "Hands", "明牌";
    b_seat: "Seat", "视角";
    b_moment: "Mistake", "失误";
    // Help.
    help_table: "3-9 0 j q k a 2   select a card of that rank; again: one more, then none\nt or 0, r         a black ten; a red ten (also 10, 10h)\n← → space         move along the hand, select; the mouse does, too\nEnter  p          play what is selected; pass\nh                 a hint: the best moves; again: the next best. A card key then starts anew\nEsc  c            select nothing\nm 1-3  Alt-1..3   mark a player: unknown, friend, foe (or click a panel)\nb                 what the agent thinks of who is with you\nw W               the jokers, where the rules have them\n+ -               the agents' delay\ns                 save the games to a new file\nl  ?  x           中文; this help, again: the rules; leave (Ctrl-C at once)",
        "3-9 0 j q k a 2   按牌面选牌; 再按多选一张, 选满后取消\nt 或 0, r         黑十; 红十 (也可 10, 10h)\n← → 空格          移动光标, 选牌; 也可用鼠标\n回车  p           出牌; 不出\nh                 提示: 最好的几手; 再按换下一个; 之后按牌面键重新选\nEsc  c            取消选择\nm 1-3  Alt-1..3   标记一家: 未知, 队友, 对手 (或点击)\nb                 AI估计谁与你同队\nw W               小王, 大王 (有王的规则)\n+ -               AI出牌间隔\ns                 保存牌局到新文件\nl  ?  x           English; 帮助, 再按: 规则; 离开 (Ctrl-C 立即离开)";
    help_replay: "← →             a move back, forward\nPgUp PgDn       ten moves\nHome End        the deal, the end\nspace  + -      play by itself; slower, faster\no               open or close the other hands\nTab             see it from the next seat\nm               the next move that the agent would have made otherwise\nn p             the next, the previous game\nl  ?  x         中文; this help, again: the rules; back",
        "← →             后退, 前进一手\nPgUp PgDn       十手\nHome End        发牌, 终局\n空格  + -       自动播放; 减慢, 加快\no               明牌或暗牌\nTab             换一家的视角\nm               下一手AI会另选的牌\nn p             下一局, 上一局\nl  ?  x         English; 帮助, 再按: 规则; 返回";
    more_rules: "? the rules", "? 规则";
    more_help: "? the keys", "? 按键";
    any_key: "any other key closes this", "按其他键关闭";
    rows_n: "{0}-{1} of {2}, ↑↓", "{0}-{1}行, 共{2}行, ↑↓";
    rules_title: "The rules", "规则";
    keys_title: "The keys", "按键";
    so_far: "played so far", "已出的牌";
    in_short: "the rules in short", "规则概要";
    earlier_n: "… {0} earlier tricks", "… 之前{0}轮";
    too_small: "too small", "太小";
    // The line mode.
    line_intro: "Red-10, {0}. Holders of the red tens are one team; nobody is told.\nNew to Red-10? `rules` explains it. `?` lists what can be typed.",
        "红十, {0}。红十持有者为一队, 身份保密。\n第一次玩? 输入 rules 看规则。输入 ? 看命令。";
    line_leads: "game {0}, seed {1}: {2} leads", "第{0}局, 种子{1}: {2}先出";
    line_help: "cards in any order: 3-9 10 J Q K A 2; a red ten is 10♥, 10h or R, a black one 10 or T; jokers w W\nor one of these, in any case:\n  p pass     leave the trick             h hint    the best moves; Enter then plays the first\n  y show     show your red tens          n keep    keep them hidden (before the first lead)\n  legal      every legal move            hand      your hand and the table\n  m 1-3      mark a player               b         what the agent thinks of who is with you\n  s          save the games              l         中文\n  rules      the rules                   ? help    this\n  x quit     leave the game              after a game: n next, v review",
        "牌的顺序任意: 3-9 10 J Q K A 2; 红十 10♥, 10h 或 R, 黑十 10 或 T; 王 w W\n或以下命令, 不分大小写:\n  p pass     不出                        h hint    提示; 然后回车出第一个\n  y show     亮红十                      n keep    不亮 (首轮之前)\n  legal      所有可出的牌                hand      手牌和牌桌\n  m 1-3      标记一家                    b         AI估计谁与你同队\n  s          保存牌局                    l         English\n  rules      规则                        ? help    帮助\n  x quit     离开                        牌局之后: n 下一局, v 复盘";
    line_asked: "Show your red tens? It doubles the stake and tells your team. y (show) or n (keep).",
        "要亮红十吗? 亮则翻倍, 队伍公开。y (show) 亮, n (keep) 不亮。";
    line_hand: "your hand: {0}", "手牌: {0}";
    line_takes_hint: "Enter plays the first.", "回车出第一个。";
    line_no_hint: "The hint is forgotten; cards are typed anew.", "已取消提示; 请重新输入牌。";
    line_no_delay: "In lines the agents play at once.", "文字模式下AI立即出牌。";
    line_only_pass: "Nothing you hold beats this: p or Enter passes.", "没有能大过的牌: p 或回车不出。";
    line_not_asked: "Nobody asks about your red tens now.", "现在不问亮不亮红十。";
    line_not_over: "The game is not over yet.", "牌局还没结束。";
    line_unknown: "'{0}' is neither a card nor a word that is known: ? lists both.", "看不懂 '{0}': 输入 ? 看牌和命令的写法。";
    line_over: "the game is over:", "终局:";
    line_end: "{0}, {1}: {2} {3}, held {4}", "{0}, {1}: {2} {3}, 剩 {4}";
    line_another: "another game? [Enter or n: next, v: review, x: leave]", "再来一局? [回车或 n: 下一局, v: 复盘, x: 离开]";
    line_review: "ply {0}: {1}; better {2}", "第{0}手: {1}; 更好 {2}";
    line_result: "{0} payoff: {1}; out in this order: {2}", "{0} 得分: {1}; 出完的顺序: {2}";
    line_tally: "games {0}, won {1}, lost {2}; red won {3}, black won {4}", "共{0}局, 胜{1}, 负{2}; 红队胜{3}, 黑队胜{4}";
}

/// A template with its `{0}`, `{1}`, ... replaced.
pub fn fill(template: &str, with: &[&dyn std::fmt::Display]) -> String {
    let mut out = template.to_owned();
    for (i, value) in with.iter().enumerate() {
        out = out.replace(&format!("{{{i}}}"), &value.to_string());
    }
    out
}

/// A chance.
pub fn percent(p: f32) -> String {
    format!("{:.0} %", 100.0 * p.clamp(0.0, 1.0))
}

/// Control characters must not reach the terminal.
pub fn printable(text: &str) -> String {
    text.chars().take(300).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// A card as the terminal table shows it: a red ten is told without colour, too.
pub fn face(card: char) -> &'static str {
    const FACES: [(char, &str); 16] = [
        ('3', "3"),
        ('4', "4"),
        ('5', "5"),
        ('6', "6"),
        ('7', "7"),
        ('8', "8"),
        ('9', "9"),
        ('T', "10"),
        ('R', "10♥"),
        ('J', "J"),
        ('Q', "Q"),
        ('K', "K"),
        ('A', "A"),
        ('2', "2"),
        ('w', "jo"),
        ('W', "JO"),
    ];
    FACES.iter().find(|f| f.0 == card).map_or("?", |f| f.1)
}

/// Cards as the terminal table shows them.
pub fn faces(cards: Cards) -> String {
    if cards == Cards::NONE {
        return "-".into();
    }
    cards.to_string().chars().map(face).collect::<Vec<_>>().join(" ")
}

impl Text {
    /// A seat as the player at `me` calls it: `2 across`.
    pub fn seat(&self, me: usize, seat: usize) -> String {
        format!("{seat} {}", self.place(me, seat))
    }

    /// Where a seat is from `me`.
    pub fn place(&self, me: usize, seat: usize) -> &'static str {
        [self.you, self.next, self.across, self.previous][(seat + SEATS - me) % SEATS]
    }

    /// A mark as text.
    pub fn mark_name(&self, mark: Mark) -> &'static str {
        match mark {
            Mark::Unknown => self.unknown,
            Mark::Friend => self.friend,
            Mark::Foe => self.foe,
        }
    }

    /// What some rules are called.
    pub fn rules_name(&self, rules: &Rules) -> &'static str {
        if *rules == Rules::folk4() {
            self.rules_folk4
        } else if *rules == Rules::paper() {
            self.rules_paper
        } else {
            self.rules_other
        }
    }

    /// A move: its cards, or its name.
    pub fn play(&self, m: &Move) -> String {
        match m.kind {
            Kind::Pass => self.pass_word.into(),
            Kind::Show => self.show_word.into(),
            Kind::Keep => self.keep_word.into(),
            _ => faces(m.cards),
        }
    }

    /// A move of a record.
    pub fn written(&self, play: &str) -> String {
        match play {
            "pass" => self.pass_word.into(),
            "show" => self.show_word.into(),
            "keep" => self.keep_word.into(),
            cards => cards.parse().map_or_else(|_| printable(cards), faces),
        }
    }

    /// What kind of move it is.
    pub fn kind(&self, m: &Move) -> String {
        let name = match m.kind {
            Kind::Pass => self.pass_word,
            Kind::Solo => self.solo,
            Kind::Pair => self.pair,
            Kind::Trio => self.trio,
            Kind::TrioSolo => self.trio_solo,
            Kind::TrioPair => self.trio_pair,
            Kind::Straight => self.straight,
            Kind::PairChain => self.pair_chain,
            Kind::TrioChain => self.trio_chain,
            Kind::TrioChainSolos => self.trio_chain_solos,
            Kind::TrioChainPairs => self.trio_chain_pairs,
            Kind::FourSolos => self.four_solos,
            Kind::FourPairs => self.four_pairs,
            Kind::Bomb => self.bomb,
            Kind::Show => self.show_word,
            Kind::Keep => self.keep_word,
        };
        fill(name, &[&m.len])
    }
}

/// What the player thinks of somebody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    /// Nothing yet.
    #[default]
    Unknown,
    /// Of the player's team.
    Friend,
    /// Of the other team.
    Foe,
}

/// The cards one by one, from low to high, as their letters.
pub fn letters(cards: Cards) -> Vec<char> {
    if cards == Cards::NONE { Vec::new() } else { cards.to_string().chars().collect() }
}

/// The red tens among some cards.
pub fn red_tens(n: u64) -> String {
    faces(Cards(n << (4 * TEN) | n << 60))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Both languages fill in the same places, and Chinese is Chinese.
    #[test]
    fn the_languages_say_the_same() {
        let holes = |t: &str| (0..9).filter(|i| t.contains(&format!("{{{i}}}"))).collect::<BTreeSet<_>>();
        for (name, en, zh) in ALL {
            assert_eq!(holes(en), holes(zh), "{name}");
            assert!(!en.is_empty() && !zh.is_empty(), "{name}");
            let chinese = |t: &str| t.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c));
            assert!(chinese(zh) || ["b_lang", "marked"].contains(name), "{name}");
        }
    }

    #[test]
    fn the_environment_names_the_language() {
        let with = |vars: &'static [(&'static str, &'static str)]| {
            Lang::of_environment(move |k| vars.iter().find(|v| v.0 == k).map(|v| v.1.to_owned()))
        };
        assert_eq!(with(&[("LANG", "zh_CN.UTF-8")]), Lang::Zh);
        assert_eq!(with(&[("LC_ALL", "C"), ("LANG", "zh_CN.UTF-8")]), Lang::En);
        assert_eq!(with(&[("LC_ALL", ""), ("LANG", "zh_TW")]), Lang::Zh);
        assert_eq!(with(&[]), Lang::En);
    }
}
