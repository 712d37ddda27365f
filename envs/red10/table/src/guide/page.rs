//! The sections of the page.
use super::{Claim, Section, beats, below, bombs, chain, combinations, goal, is, is_not, order, run, shown};
use crate::text::Lang;
use rlx_red10::{
    Kind, Rules,
    rules::{Leader, Scoring},
};

/// Writes sections in one of the languages.
struct Writer {
    lang: Lang,
    sections: Vec<Section>,
}

impl Writer {
    fn section(&mut self, en: &'static str, zh: &'static str) {
        self.sections.push(Section { title: self.lang.pick(en, zh), lines: Vec::new() });
    }

    /// A line; `{0}`, `{1}`, ... are the cards of its claims, in their order.
    fn say(&mut self, en: &str, zh: &str, claims: &[Claim]) {
        let mut line = self.lang.pick(en, zh).to_owned();
        for (i, cards) in claims.iter().flat_map(Claim::cards).enumerate() {
            line = line.replace(&format!("{{{i}}}"), &shown(cards));
        }
        if let Some(section) = self.sections.last_mut() {
            section.lines.push((line, claims.to_vec()));
        }
    }
}

/// The page for some rules.
pub fn page(rules: &Rules, lang: Lang) -> Vec<Section> {
    let mut w = Writer { lang, sections: Vec::new() };
    game(&mut w, rules);
    ranks(&mut w, rules);
    plays(&mut w, rules);
    bomb_lines(&mut w, rules);
    trick(&mut w, rules);
    teams(&mut w, rules);
    stake(&mut w, rules);
    end(&mut w, rules);
    w.sections
}

fn game(w: &mut Writer, r: &Rules) {
    w.section("The game", "游戏");
    if r.jokers {
        w.say(
            "Four players share out 54 cards: 52 and two jokers. Two players are dealt 14, two 13.",
            "四人分54张牌 (含双王): 两家14张, 两家13张。",
            &[],
        );
    } else {
        w.say("Four players are dealt 13 cards each: 52 cards, no jokers.", "四人各发13张: 52张牌, 没有王。", &[]);
    }
    w.say(
        "The ten of hearts and the ten of diamonds are the red tens, both written 10♥ here. Who is dealt one is of the red team; the others are the black team.",
        "红桃十和方块十是红十, 这里都写作 10♥。发到红十的是红队, 其余是黑队。",
        &[],
    );
    w.say(
        "Nobody is told who is with whom. Mostly it is two against two. In about one deal in four both red tens are in one hand: then it is one against three.",
        "没有人知道谁和谁一队。多数时候是二对二; 约四分之一的牌局两张红十在一家, 则是一对三。",
        &[],
    );
    w.say("The aim is to get rid of your cards before the other team does.", "目标是比对方更早出完手里的牌。", &[]);
}

fn ranks(w: &mut Writer, r: &Rules) {
    w.section("Order of the cards", "牌的大小");
    let all = order(r);
    let line = all.iter().map(|c| shown(c)).collect::<Vec<_>>().join(" < ");
    let claims: Vec<Claim> = all.windows(2).map(|pair| beats(pair[1], pair[0])).collect();
    w.say(&line, &line, &claims);
    w.say(
        "Suits do not matter but for the tens. Equal ranks do not beat each other: {0} is not above {1}.",
        "除了十以外不分花色。同样大小压不过: {0} 压不过 {1}。",
        &[below("8", "8")],
    );
    if r.red_ten_power {
        w.say(
            "A red ten played alone is above every other card: {0} beats {1}.",
            "单出的红十比其他单张都大: {0} 压 {1}。",
            &[beats("R", "2")],
        );
        let straight = chain(6, r.straight_min.into(), 1).replace('T', "R");
        w.say(
            "In a pair with a black ten, or in a chain, it is a plain ten: {0} beats {1}, {2} is a straight.",
            "和黑十成对, 或在顺子和连对里, 它只是普通的十: {0} 压 {1}, {2} 是顺子。",
            &[beats("JJ", "TR"), Claim::Is(straight, Kind::Straight, r.straight_min)],
        );
    } else {
        w.say(
            "A red ten has no power of its own: {0} beats it ({1}), it does not beat a black ten, and two red tens are an ordinary pair ({4}).",
            "红十本身没有特权: {0} 压 {1}, 它压不过黑十, 两张红十只是普通对子 ({4})。",
            &[beats("J", "R"), below("R", "T"), is("RR", Kind::Pair)],
        );
    }
}

fn plays(w: &mut Writer, r: &Rules) {
    w.section("Combinations", "牌型");
    for (name, claim) in combinations(r, w.lang) {
        let line = format!("{name}: {{0}}");
        w.say(&line, &line, &[claim]);
    }
    let over = run(13 - usize::from(r.straight_min), r.straight_min.into(), 1);
    w.say(
        "Straights and chains are of ranks in a row, from 3 up to A. The 2 is in none of them: {0} is no straight, {1} no chain.",
        "顺子和连对由相连的点数组成, 从3到A。2不能入内: {0} 不是顺子, {1} 不是连对。",
        &[is_not(&over), is_not(&run(13 - usize::from(r.pair_chain_min), r.pair_chain_min.into(), 2))],
    );
    w.say(
        "Too short, or with a gap: {0} is no straight, {1} no chain.",
        "太短或不相连: {0} 不是顺子, {1} 不是连对。",
        &[
            is_not(&run(0, usize::from(r.straight_min) - 1, 1)),
            if r.pair_chain_min > 2 { is_not(&run(0, usize::from(r.pair_chain_min) - 1, 2)) } else { is_not("3355") },
        ],
    );
    if r.kickers {
        w.say(
            "Of a combination with cards that go along, the trios or the four are compared: {0} beats {1}.",
            "带牌的牌型只比三张或四张的大小: {0} 压 {1}。",
            &[beats("8883", "777A")],
        );
    } else {
        w.say(
            "Nothing goes along with three or four of a rank: {0} and {1} are no combinations.",
            "三张和四张不能带牌: {0} 和 {1} 不成牌型。",
            &[is_not("777K"), is_not("7777KA")],
        );
    }
    w.say("Anything else is no combination: {0}.", "其他的都不成牌型: {0}。", &[is_not("42")]);
}

fn bomb_lines(w: &mut Writer, r: &Rules) {
    w.section("Bombs", "炸弹");
    let all = bombs(r, w.lang);
    for (name, claim) in &all {
        let line = format!("{name}: {{0}}");
        w.say(&line, &line, std::slice::from_ref(claim));
    }
    let long = chain(2, r.straight_min.into(), 1);
    let (low, top) = if r.bomb_of_three { ("333", "R") } else { ("3333", "2") };
    let top = if r.red_ten_power { top } else { "2" };
    w.say(
        "A bomb may follow everything that is no bomb: {0} beats {1} and {3}.",
        "炸弹可以压任何非炸弹: {0} 压 {1}, 也压 {3}。",
        &[beats(low, top), beats(low, &long)],
    );
    w.say(
        "Among bombs of as many cards the higher rank wins: {0} beats {1}.",
        "同样张数的炸弹比大小: {0} 压 {1}。",
        &[if r.bomb_of_three { beats("444", "333") } else { beats("4444", "3333") }],
    );
    if r.bomb_of_three {
        w.say(
            "Four of a rank are above every three: {0} beats {1}.",
            "四张的炸弹大于任何三张的: {0} 压 {1}。",
            &[beats("3333", "222")],
        );
    }
    if r.jokers {
        w.say(
            "Both jokers are above every four: {0} beats {1}.",
            "双王大于任何四张: {0} 压 {1}。",
            &[beats("wW", "2222")],
        );
    }
    if r.red_ten_power {
        let next = if r.jokers { "wW" } else { "2222" };
        w.say(
            "The two red tens are above every other bomb: {0} beats {1}.",
            "两张红十大于任何炸弹: {0} 压 {1}。",
            &[beats("RR", next), below(next, "RR")],
        );
    }
    if r.kickers {
        w.say(
            "A four that takes cards along is no bomb: {0} does not beat {1}.",
            "四张带牌就不是炸弹: {0} 压不过 {1}。",
            &[below("7777KA", "3")],
        );
    }
    w.say("Bombs do not change what the game is worth.", "炸弹不改变倍数。", &[]);
}

fn trick(w: &mut Writer, r: &Rules) {
    w.section("A trick", "一轮");
    match r.leader {
        Leader::Seat0 => w.say("Seat 0 leads the first trick.", "0号先出第一轮。", &[]),
        Leader::Heart3 => w.say(
            "The holder of the three of hearts leads the first trick, with any combination: the three need not be in it.",
            "红桃三在谁手里, 谁先出第一轮; 出什么都行, 不必带红桃三。",
            &[],
        ),
        Leader::Heart4 => w.say(
            "The holder of the four of hearts leads the first trick, with any combination: the four need not be in it.",
            "红桃四在谁手里, 谁先出第一轮; 出什么都行, 不必带红桃四。",
            &[],
        ),
    }
    w.say(
        "In the order of the seats each player then passes or plays something higher of the same kind and the same number of cards, or a bomb: {0} beats {1}, {2} does not beat {3}.",
        "然后按座位顺序, 每人或者不出, 或者出同类型, 同张数而更大的牌, 或者出炸弹: {0} 压 {1}, {2} 压不过 {3}。",
        &[beats("99", "77"), below("K", "77")],
    );
    if r.straight_min < 12 {
        let n = usize::from(r.straight_min);
        w.say(
            "A longer straight does not beat a shorter one: {0} does not beat {1}.",
            "长顺子压不过短顺子: {0} 压不过 {1}。",
            &[below(&chain(4, n + 1, 1), &chain(2, n, 1))],
        );
    }
    w.say(
        "Only who leads may not pass. Who passed may play again when the turn comes back in the same trick.",
        "只有领出的人不能不出。不出之后, 同一轮再轮到时仍可以出。",
        &[],
    );
    w.say(
        "When all others who still hold cards have passed, the trick is over. Who played last leads the next one; if that player is out, the next player in order who still holds cards.",
        "其他有牌的人都不出, 这一轮就结束。最后出牌的人领出下一轮; 如果他已出完, 由他之后第一个有牌的人领出。",
        &[],
    );
}

fn teams(w: &mut Writer, r: &Rules) {
    w.section("Hidden teams", "隐藏的队伍");
    w.say(
        "You know your own team: you were dealt a red ten or not. Who plays a red ten shows everybody that he is red. When both have been seen, all teams are known.",
        "你知道自己的队: 看发牌时有没有红十。谁打出红十, 大家就知道他是红队。两张都出现后, 队伍就全部公开。",
        &[],
    );
    w.say(
        "A holder of both red tens knows that the three others are together; they do not.",
        "拿到两张红十的人知道另外三家是一队; 那三家并不知道。",
        &[],
    );
    if r.reveal_phase {
        w.say(
            "Showing makes teams known before the first card (see below). Whoever wants the teams hidden throughout plays --rules paper.",
            "亮红十会在出牌前公开队伍 (见下)。想让队伍一直隐藏, 请用 --rules paper。",
            &[],
        );
    } else {
        w.say(
            "There is no showing before the game: the teams stay hidden until red tens are played.",
            "开局前没有亮牌: 打出红十之前, 队伍一直隐藏。",
            &[],
        );
    }
}

fn stake(w: &mut Writer, r: &Rules) {
    w.section("The stake", "倍数");
    if !r.reveal_phase {
        w.say(
            "The stake is 1 in every game: these rules have no showing of red tens.",
            "每局都是1倍: 这套规则没有亮红十。",
            &[],
        );
        return;
    }
    w.say(
        "Before the first lead each holder of red tens is asked whether to show them, from the leader on in the order of the seats. Nobody else sees who is asked, or who keeps them hidden.",
        "首轮之前, 从领出的人开始按座位顺序, 问每个有红十的人亮不亮。别人看不到问了谁, 也看不到谁没亮。",
        &[],
    );
    w.say(
        "Who shows, shows all red tens in hand. They stay in the hand, and everybody knows from then on that this player is red.",
        "亮就要亮出手里所有的红十。牌仍留在手里, 但大家从此知道他是红队。",
        &[],
    );
    w.say(
        "The stake is 1. Every player who shows doubles it: 2 when one shows, 4 when two do.",
        "开始是1倍。每有一人亮就翻倍: 一人亮是2倍, 两人亮是4倍。",
        &[],
    );
}

fn end(w: &mut Writer, r: &Rules) {
    w.section("Who wins", "胜负");
    w.say(goal(r, w.lang), goal(r, w.lang), &[]);
    if r.scoring == Scoring::Places {
        w.say(
            "So play goes on after the first is out, until one whole team is out. If that is the team of the first player out, it wins; if it is the other one, it is a draw.",
            "所以第一个人出完后继续打, 直到一队全部出完。如果正是最先出完的那一队, 该队获胜; 如果是另一队, 则是平局。",
            &[],
        );
        w.say(
            "A red player alone wins by being first, draws as second or third, and loses as last.",
            "一人红队: 第一个出完获胜, 第二或第三是平局, 最后则输。",
            &[],
        );
    }
    let most = if r.reveal_phase {
        [
            "Each winner is paid the stake and each loser pays it: +4 is a win at stake 4, -1 a loss at stake 1. A draw pays 0.",
            "每个赢家得倍数分, 每个输家扣倍数分: +4 是4倍的胜局, -1 是1倍的败局。平局得0分。",
        ]
    } else {
        [
            "Each winner is paid the stake and each loser pays it: +1 or -1.",
            "每个赢家得倍数分, 每个输家扣倍数分: +1 或 -1。",
        ]
    };
    w.say(most[0], most[1], &[]);
}
