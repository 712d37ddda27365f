//! The rules as a page to read, made from the flags of the rules that are played: what it says of cards it says by examples that the
//! tests put to the engine. docs/red10-rules.md is this page too.
mod page;
#[cfg(test)]
mod tests;

use super::text::{Lang, faces};
use rlx_red10::{
    Cards, Kind, Rules,
    rules::{Leader, Scoring},
};

pub use page::page;

/// What the page says of some cards, written as [`Cards`] are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// They are this combination, of so many ranks.
    Is(String, Kind, u8),
    /// They are no combination.
    IsNot(String),
    /// The first may follow the second.
    Beats(String, String),
    /// The first may not follow the second.
    Below(String, String),
}

impl Claim {
    fn cards(&self) -> Vec<&str> {
        match self {
            Self::Is(a, ..) | Self::IsNot(a) => vec![a],
            Self::Beats(a, b) | Self::Below(a, b) => vec![a, b],
        }
    }
}

fn is(cards: &str, kind: Kind) -> Claim {
    Claim::Is(cards.into(), kind, 1)
}
fn is_not(cards: &str) -> Claim {
    Claim::IsNot(cards.into())
}
fn beats(a: &str, b: &str) -> Claim {
    Claim::Beats(a.into(), b.into())
}
fn below(a: &str, b: &str) -> Claim {
    Claim::Below(a.into(), b.into())
}

/// A part of the page.
#[derive(Clone, Debug)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// What it says, each line with what it claims of cards.
    pub lines: Vec<(String, Vec<Claim>)>,
}

/// Cards as people read them.
fn shown(cards: &str) -> String {
    cards.parse::<Cards>().map_or_else(|_| cards.to_owned(), faces)
}

/// `n` cards of each of `len` ranks from `start` on (0 is the 3).
fn run(start: usize, len: usize, n: usize) -> String {
    let ranks = "3456789TJQKA2".chars().skip(start).take(len);
    ranks.flat_map(|c| std::iter::repeat_n(c, n)).collect()
}

/// The same, further down where it would go beyond the A.
fn chain(start: usize, len: usize, n: usize) -> String {
    run(start.min(12 - len), len, n)
}

/// Single cards from low to high.
fn order(rules: &Rules) -> Vec<&'static str> {
    let mut all = vec!["3", "4", "5", "6", "7", "8", "9", "T", "J", "Q", "K", "A", "2"];
    if rules.jokers {
        all.extend(["w", "W"]);
    }
    if rules.red_ten_power {
        all.push("R");
    }
    all
}

/// A combination: its name and an example.
type Named = (String, Claim);

/// Every combination of the rules that is no bomb.
pub fn combinations(rules: &Rules, lang: Lang) -> Vec<Named> {
    let mut all = Vec::new();
    let mut add = |en: &str, zh: &str, example: Claim| all.push((lang.pick(en, zh).to_owned(), example));
    add("single card", "单张", is("7", Kind::Solo));
    add("pair", "对子", is("77", Kind::Pair));
    if !rules.bomb_of_three {
        add("trio", "三张", is("777", Kind::Trio));
    }
    let n = rules.straight_min;
    let example = Claim::Is(chain(2, n.into(), 1), Kind::Straight, n);
    add(&format!("straight of {n} or more"), &format!("顺子 ({n}张或更多)"), example);
    let n = rules.pair_chain_min;
    let example = Claim::Is(chain(4, n.into(), 2), Kind::PairChain, n);
    add(&format!("chain of {n} or more pairs"), &format!("连对 ({n}对或更多)"), example);
    if rules.kickers {
        add("trio with a card", "三带一", is("777K", Kind::TrioSolo));
        add("trio with a pair", "三带二", is("777KK", Kind::TrioPair));
        let chain = |cards: &str, kind| Claim::Is(cards.into(), kind, 2);
        add("chain of 2 or more trios", "飞机 (2组三张或更多)", chain("777888", Kind::TrioChain));
        add("chain of trios with a card each", "飞机带单", chain("777888KA", Kind::TrioChainSolos));
        add("chain of trios with a pair each", "飞机带对", chain("777888KKAA", Kind::TrioChainPairs));
        add("four with two cards", "四带二", is("7777KA", Kind::FourSolos));
        add("four with two pairs", "四带两对", is("7777KKAA", Kind::FourPairs));
    }
    all
}

/// Every kind of bomb, from low to high.
pub fn bombs(rules: &Rules, lang: Lang) -> Vec<Named> {
    let mut all = Vec::new();
    let mut add = |en: &str, zh: &str, example: &str| {
        all.push((lang.pick(en, zh).to_owned(), is(example, Kind::Bomb)));
    };
    if rules.bomb_of_three {
        add("three of a rank", "三张相同", "777");
    }
    add("four of a rank", "四张相同", "7777");
    if rules.jokers {
        add("both jokers", "双王", "wW");
    }
    if rules.red_ten_power {
        add("both red tens, the highest bomb", "两张红十, 最大的炸弹", "RR");
    }
    all
}

/// The combinations in a few words, for who played none.
pub fn kinds(rules: &Rules, lang: Lang) -> String {
    let (s, p) = (rules.straight_min, rules.pair_chain_min);
    match (lang, rules.kickers) {
        (Lang::En, false) => {
            format!("single cards, pairs, straights from {s} cards on, chains from {p} pairs on, bombs")
        }
        (Lang::En, true) => format!(
            "single cards, pairs, trios alone or with a card or a pair, straights from {s} cards on, chains from {p} pairs or 2 trios on, fours with two cards or two pairs, bombs"
        ),
        (Lang::Zh, false) => format!("单张, 对子, {s}张起的顺子, {p}对起的连对, 炸弹"),
        (Lang::Zh, true) => {
            format!("单张, 对子, 三张 (可带一张或一对), {s}张起的顺子, {p}对起的连对, 飞机, 四带二, 四带两对, 炸弹")
        }
    }
}

/// The rules in a few lines, to lie beside a game.
pub fn short(rules: &Rules, lang: Lang) -> Vec<String> {
    let mut lines = vec![order(rules).into_iter().map(shown).collect::<Vec<_>>().join(" < ")];
    let example = |(name, claim): Named| format!("{name}: {}", shown(claim.cards()[0]));
    lines.extend(combinations(rules, lang).into_iter().map(example));
    lines.extend(bombs(rules, lang).into_iter().map(|b| format!("{}: {}", lang.pick("bomb", "炸弹"), example(b))));
    lines.push(goal(rules, lang).into());
    lines
}

fn goal(rules: &Rules, lang: Lang) -> &'static str {
    match rules.scoring {
        Scoring::FirstOut => lang.pick(
            "The first player without cards ends the game and wins it for the whole team.",
            "最先出完牌的人结束牌局, 全队获胜。",
        ),
        Scoring::Places => lang.pick(
            "The team of the first player without cards wins, but it is a draw if that team also has the last place.",
            "最先出完牌的一队获胜; 但若该队也有人垫底, 则为平局。",
        ),
    }
}

/// What differs between the two named rules, each flag by its name in records.
pub fn differences(lang: Lang) -> Vec<[String; 4]> {
    let (folk, paper) = (Rules::folk4(), Rules::paper());
    let row = |flag: &str, en: &str, zh: &str, of: &dyn Fn(&Rules) -> String| {
        [flag.to_owned(), lang.pick(en, zh).to_owned(), of(&folk), of(&paper)]
    };
    let yes = |b: bool| lang.pick(if b { "yes" } else { "no" }, if b { "是" } else { "否" }).to_owned();
    let leader = |r: &Rules| match r.leader {
        Leader::Seat0 => lang.pick("seat 0", "0号").to_owned(),
        Leader::Heart3 => lang.pick("holder of the three of hearts", "持红桃三者").to_owned(),
        Leader::Heart4 => lang.pick("holder of the four of hearts", "持红桃四者").to_owned(),
    };
    let scoring = |r: &Rules| match r.scoring {
        Scoring::FirstOut => lang.pick("the first player out", "最先出完的人").to_owned(),
        Scoring::Places => lang.pick("all places of a team", "全队名次").to_owned(),
    };
    vec![
        row("jokers", "two jokers, 54 cards", "双王, 54张牌", &|r| yes(r.jokers)),
        row("leader", "leads the first trick", "首轮领出", &leader),
        row("straight_min", "shortest straight, in cards", "最短顺子 (张)", &|r| r.straight_min.to_string()),
        row("pair_chain_min", "shortest chain, in pairs", "最短连对 (对)", &|r| r.pair_chain_min.to_string()),
        row("kickers", "trios and fours take cards along, trios chain", "三张四张可带牌, 有飞机", &|r| {
            yes(r.kickers)
        }),
        row("bomb_of_three", "three of a rank are a bomb", "三张是炸弹", &|r| yes(r.bomb_of_three)),
        row(
            "red_ten_power",
            "a red ten is above the 2, two are the top bomb",
            "红十大于2, 一对是最大炸弹",
            &|r| yes(r.red_ten_power),
        ),
        row(
            "reveal_phase",
            "red tens may be shown first, which doubles the stake",
            "开局可亮红十, 翻倍",
            &|r| yes(r.reveal_phase),
        ),
        row("scoring", "decided by", "胜负取决于", &scoring),
    ]
}

/// Which of the two to choose.
pub fn choice(lang: Lang) -> &'static str {
    lang.pick(
        "Which to choose: folk4 (the default at the table) is the folk game. It has few combinations and strong red tens, but whoever shows red tens gives the teams away before the first card. paper keeps the teams hidden until red tens are played, and has the combinations of DouDizhu. Choose paper to play at guessing who is with whom.",
        "选哪一种: folk4 (默认) 是民间玩法, 牌型少, 红十很大; 但亮红十会在出牌前公开队伍。paper 在打出红十之前队伍一直隐藏, 牌型与斗地主相同。想玩猜队友, 请选 paper。",
    )
}

/// The page as Markdown, which lines of text are too: its sections, then what differs between the named rules.
pub fn markdown(rules: &Rules, lang: Lang) -> String {
    let mut out = sections(rules, lang);
    out += &format!("\n{}", compared(lang));
    out
}

/// The sections of the page as Markdown.
pub fn sections(rules: &Rules, lang: Lang) -> String {
    let mut out = String::new();
    for section in page(rules, lang) {
        let gap = if out.is_empty() { "" } else { "\n" };
        out += &format!("{gap}### {}\n\n", section.title);
        section.lines.iter().for_each(|(line, _)| out += &format!("- {line}\n"));
    }
    out
}

/// What differs between the named rules, as Markdown.
pub fn compared(lang: Lang) -> String {
    let mut out = format!("### {}\n\n", lang.pick("folk4 and paper", "folk4 与 paper 的不同"));
    for [flag, about, folk, paper] in differences(lang) {
        out += &format!("- `{flag}`: {about}: folk4 {folk}, paper {paper}\n");
    }
    out + "\n" + choice(lang) + "\n"
}

/// docs/red10-rules.md.
pub fn document() -> String {
    let mut out = String::from(
        "# The rules of Red-10\n\n\
         `rlx play red10` and `rlx play red10 --rules paper` play by these rules; `rlx play red10 --rules-page` prints them, and so does `?`,\n\
         pressed twice at the table. This page is printed by the program itself, and tests put each of its examples to the engine.\n",
    );
    for lang in [Lang::En, Lang::Zh] {
        out += &format!("\n{}", compared(lang).replacen("###", "##", 1));
        for (name, rules) in [("folk4", Rules::folk4()), ("paper", Rules::paper())] {
            let title = lang.pick("The rules", "规则");
            out += &format!("\n## {title}: {name}\n\n{}", sections(&rules, lang));
        }
    }
    out
}
