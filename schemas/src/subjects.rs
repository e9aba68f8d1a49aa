//! The one place that builds and parses subjects; nowhere else in the workspace is a subject spelled out.

use crate::ids::{HostId, InvalidId, ProcessorName, ReceiverId, RuleId, RunId, Shard, TeamId};
use crate::journal::Fact;
use std::fmt;
use std::str::FromStr;

/// Every subject of SAMPLES.
pub const SAMPLES_FILTERS: [&str; 3] = ["sample.v1.*.*.*", "backfill.v1.*.*.*", "tick.v1"];
/// Live samples of every host.
pub const LIVE_SAMPLES: &str = "sample.v1.*.*.*";
/// Back-filled samples of every host.
pub const BACKFILL_SAMPLES: &str = "backfill.v1.*.*.*";
/// The clock of the log.
pub const TICK: &str = "tick.v1";
/// Every subject of JOURNAL.
pub const JOURNAL_FILTER: &str = "journal.v1.>";
/// The kinds of facts, as subjects name them.
const JOURNAL_KINDS: [&str; 22] = [
    "user",
    "token",
    "team",
    "member",
    "invitation",
    "host",
    "reader",
    "credential",
    "flag",
    "rule",
    "silence",
    "acknowledgement",
    "resolution",
    "alert_defaults",
    "maintenance",
    "receiver",
    "link_offer",
    "chat",
    "receiver_failure",
    "bot",
    "bot_state",
    "behind",
];
/// Facts that the processors record: hosts that are held off.
pub const JOURNAL_FLAGS: &str = "journal.v1.*.flag.*";
/// Facts that the processors record: the windows of weekly maintenance.
pub const JOURNAL_SILENCES: &str = "journal.v1.*.silence.*";
/// Facts that the processors record for who acts from a message.
pub const JOURNAL_ACKNOWLEDGEMENTS: &str = "journal.v1.*.acknowledgement.*";
/// Facts that the processors record: chats that took an offer to be linked.
pub const JOURNAL_CHATS: &str = "journal.v1.*.chat.*";
/// Facts that the processors record: receivers whose channel refuses.
pub const JOURNAL_RECEIVER_FAILURES: &str = "journal.v1.*.receiver_failure.*";
/// Facts that the processors record: what Telegram says of bots.
pub const JOURNAL_BOT_STATES: &str = "journal.v1.*.bot_state.*";
/// Facts that the processors record: that one was far behind.
pub const JOURNAL_BEHIND: &str = "journal.v1.*.behind.*";
/// Every subject of AUDIT.
pub const AUDIT_FILTER: &str = "audit.v1.*";
/// Every subject of ALERTS.
pub const ALERTS_FILTER: &str = "alert.v1.>";
/// Every subject of NOTICES.
pub const NOTICES_FILTER: &str = "notice.v1.>";
/// Every intent.
pub const NOTICE_INTENTS: &str = "notice.v1.intent.*";
/// What the gateway may have told: tests of receivers.
const NOTICE_TESTS: &str = "notice.v1.test.*";
/// Every subject of PARKED.
pub const PARKED_FILTER: &str = "parked.v1.*";
/// Exported by CORE as services: what agents may publish.
pub const AGENT_EXPORTS: [&str; 2] = ["sample.v1.>", "backfill.v1.>"];
/// Commands to agents, exported by CORE as a stream.
pub const COMMANDS: &str = "cmd.v1.>";
/// Where answers aimed at a command subject vanish.
pub const VOID: &str = "void.v1.>";
/// The public feed, exported by CORE as a stream.
pub const PUBLIC: &str = "public.v1.>";
/// The one subject a reader may publish on; nobody listens there.
pub const DEAD: &str = "dead.v1";
/// What an agent publishes live, as the template of its signing key.
pub const AGENT_SAMPLE_TEMPLATE: &str = "sample.v1.{{tag(team)}}.{{tag(shard)}}.{{tag(host)}}";
/// What an agent publishes after an outage, as the template of its signing key.
pub const AGENT_BACKFILL_TEMPLATE: &str = "backfill.v1.{{tag(team)}}.{{tag(shard)}}.{{tag(host)}}";
/// Where an agent hears commands, as the template of its signing key.
pub const AGENT_COMMAND_TEMPLATE: &str = "cmd.v1.{{tag(team)}}.{{tag(shard)}}.{{tag(host)}}";
/// Where an agent receives replies, as the template of its signing key.
pub const AGENT_INBOX_TEMPLATE: &str = "_INBOX.{{tag(team)}}.{{tag(host)}}.>";
/// Development only: what a simulated fleet publishes live, as the template of its signing key.
pub const FLEET_SAMPLE_TEMPLATE: &str = "sample.v1.{{tag(team)}}.*.*";
/// Development only: the back-fill twin of [`FLEET_SAMPLE_TEMPLATE`].
pub const FLEET_BACKFILL_TEMPLATE: &str = "backfill.v1.{{tag(team)}}.*.*";
/// Development only: where a simulated fleet receives replies, as the template of its signing key.
pub const FLEET_INBOX_TEMPLATE: &str = "_INBOX.{{tag(team)}}.fleet.>";
/// What a reader of a team may hear, as the template of its signing key.
pub const READER_TEMPLATE: &str = "public.v1.{{tag(team)}}.>";

/// What the gateway asks the processors to try, of every team.
pub const BACKTEST_ASKS: &str = "backtest.v1.ask.*";
/// Whether somebody still waits for what is tried: of every team and run.
const BACKTEST_HEEDS: &str = "backtest.v1.heed.*.*";
/// What the processors tell of what is tried: of every team and run.
const BACKTEST_TOLD: &str = "backtest.v1.told.*.*";

/// Replies to the processors.
pub const PROCESSORS_INBOX: &str = "_INBOX.processors.>";
/// Replies to the gateway.
pub const GATEWAY_INBOX: &str = "_INBOX.gateway.>";
/// Replies to our user of the system account.
pub const SYS_INBOX: &str = "_INBOX.sys.>";
/// Where a user of the system account hands the server a newer account JWT.
pub const SYS_PUSH_CLAIMS: &str = "$SYS.REQ.CLAIMS.UPDATE";
/// Where a user of the system account has the server forget accounts.
pub const SYS_DELETE_CLAIMS: &str = "$SYS.REQ.CLAIMS.DELETE";
/// Where a user of the system account asks who is connected.
pub const SYS_LIST_CONNECTIONS: &str = "$SYS.REQ.SERVER.PING.CONNZ";
/// Where a user of the system account cuts a connection; `*` is the id of the server.
pub const SYS_KICK: &str = "$SYS.REQ.SERVER.*.KICK";
/// The beginning of replies to our user of the system account.
pub const SYS_INBOX_PREFIX: &str = "_INBOX.sys";
/// Everything: what a credential without a role may not hear.
pub const EVERYTHING: &str = ">";

/// What both of our programs ask JetStream: the state of the account, of streams and of their consumers.
const STATE_QUESTIONS: [&str; 5] = [
    "$JS.API.INFO",
    "$JS.API.STREAM.INFO.*",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.CONSUMER.INFO.*.*",
];
/// What the processors publish beside reading: the topology (nothing is ever deleted or purged), acknowledgements,
/// their two buckets, the clock, transitions, notices, parked events, the public feed, flags, windows of weekly
/// maintenance, what back-tests find, what people do from a message, what channels say of receivers, and that one of them was far behind.
const PROCESSORS_WRITE: [&str; 23] = [
    "$JS.API.STREAM.CREATE.*",
    "$JS.API.STREAM.UPDATE.*",
    "$JS.API.CONSUMER.DELETE.*.*",
    "$JS.API.CONSUMER.RESET.*.*",
    "$JS.API.CONSUMER.NAMES.*",
    "$JS.ACK.>",
    "$KV.LATEST.>",
    "$KV.SNAPSHOTS.>",
    TICK,
    ALERTS_FILTER,
    NOTICES_FILTER,
    PARKED_FILTER,
    PUBLIC,
    JOURNAL_FLAGS,
    JOURNAL_SILENCES,
    JOURNAL_ACKNOWLEDGEMENTS,
    JOURNAL_CHATS,
    JOURNAL_RECEIVER_FAILURES,
    JOURNAL_BOT_STATES,
    JOURNAL_BEHIND,
    AUDIT_FILTER,
    // Each entry of the audit is bound to the one before it.
    "$JS.API.STREAM.MSG.GET.AUDIT",
    BACKTEST_TOLD,
];
/// What the processors read.
const PROCESSORS_READ: [&str; 8] =
    ["SAMPLES", "JOURNAL", "ALERTS", "NOTICES", "PARKED", "KV_LATEST", "KV_SNAPSHOTS", "KV_CHANNELS"];
/// What the gateway publishes beside reading: facts about configuration and its two buckets; one message of SAMPLES
/// by its sequence tells the time up to which a processor has come; it asks for back-tests.
const GATEWAY_WRITE: [&str; 14] = [
    JOURNAL_FILTER,
    AUDIT_FILTER,
    NOTICE_TESTS,
    "$KV.SESSIONS.>",
    "$KV.SECRETS.>",
    "$KV.CHANNELS.>",
    "$JS.API.STREAM.MSG.GET.SAMPLES",
    "$JS.API.DIRECT.GET.SAMPLES",
    "$JS.API.DIRECT.GET.SAMPLES.>",
    // Its watch removes its consumer when a connection was lost.
    "$JS.API.CONSUMER.DELETE.KV_LATEST.*",
    "$JS.API.CONSUMER.DELETE.KV_SESSIONS.*",
    "$JS.API.CONSUMER.DELETE.KV_SECRETS.*",
    BACKTEST_ASKS,
    BACKTEST_HEEDS,
];
/// What the processors hear beside what they read.
pub const PROCESSORS_HEAR: [&str; 3] = [PROCESSORS_INBOX, BACKTEST_ASKS, BACKTEST_HEEDS];
/// What the gateway hears beside what it reads.
pub const GATEWAY_HEAR: [&str; 2] = [GATEWAY_INBOX, BACKTEST_TOLD];
/// What the gateway reads.
const GATEWAY_READ: [&str; 7] =
    ["AUDIT", "JOURNAL", "ALERTS", "NOTICES", "KV_LATEST", "KV_SESSIONS", "KV_SECRETS"];

/// What the processors may publish.
#[must_use]
pub fn processors_publish() -> Vec<String> {
    publish_rights(&PROCESSORS_WRITE, &PROCESSORS_READ)
}

/// What the gateway may publish.
#[must_use]
pub fn gateway_publish() -> Vec<String> {
    publish_rights(&GATEWAY_WRITE, &GATEWAY_READ)
}

fn publish_rights(write: &[&str], read: &[&str]) -> Vec<String> {
    let own = STATE_QUESTIONS.iter().chain(write).map(|subject| (*subject).to_owned());
    own.chain(read.iter().flat_map(|stream| reading(stream))).collect()
}

/// Reading one stream or the stream of a bucket: its consumers, single messages, flow control.
fn reading(stream: &str) -> [String; 7] {
    [
        format!("$JS.API.CONSUMER.CREATE.{stream}"),
        format!("$JS.API.CONSUMER.CREATE.{stream}.>"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"),
        format!("$JS.API.STREAM.MSG.GET.{stream}"),
        format!("$JS.API.DIRECT.GET.{stream}"),
        format!("$JS.API.DIRECT.GET.{stream}.>"),
        format!("$JS.FC.{stream}.>"),
    ]
}

/// Every live sample subject of a team.
#[must_use]
pub fn live_samples_of_team(team: &TeamId) -> String {
    format!("sample.v1.{team}.*.*")
}

/// Every back-fill subject of a team.
#[must_use]
pub fn backfill_of_team(team: &TeamId) -> String {
    format!("backfill.v1.{team}.*.*")
}

/// Every command subject of a team.
#[must_use]
pub fn commands_of_team(team: &TeamId) -> String {
    format!("cmd.v1.{team}.*.*")
}

/// The prefix below which an agent's replies arrive.
#[must_use]
pub fn agent_inbox(team: &TeamId, host: &HostId) -> String {
    format!("_INBOX.{team}.{host}")
}

/// Development only: the prefix below which replies to a simulated fleet arrive.
#[must_use]
pub fn fleet_inbox(team: &TeamId) -> String {
    format!("_INBOX.{team}.fleet")
}

/// The prefix below which replies to one of our own programs arrive.
#[must_use]
pub fn program_inbox(program: &ProcessorName) -> String {
    format!("_INBOX.{program}")
}

/// Where a user of the system account cuts a connection of the server with this id.
#[must_use]
pub fn sys_kick(server: &str) -> String {
    format!("$SYS.REQ.SERVER.{server}.KICK")
}

/// Where the audit of a scope stands in AUDIT.
#[must_use]
pub fn audit(scope: &JournalScope) -> String {
    format!("audit.v1.{scope}")
}

/// Where transitions of an alert stand in ALERTS; without a host those that are about the whole team. What was found in
/// back-filled samples stands apart.
#[must_use]
pub fn alert(team: &TeamId, host: Option<&HostId>, rule: &RuleId, retro: bool) -> String {
    let of_host = |host: &HostId| format!("{}.{host}", Shard::of(host));
    let host = host.map_or_else(|| "_._".to_owned(), of_host);
    let retro = if retro { ".retro" } else { "" };
    format!("alert.v1.{team}.{host}.{rule}{retro}")
}

/// Every transition of a rule on a host.
#[must_use]
pub fn alerts_of(team: &TeamId, host: &str, rule: &RuleId) -> String {
    format!("alert.v1.{team}.*.{host}.{rule}")
}

/// Where the intent to send a notice stands in NOTICES, once for ever.
#[must_use]
pub fn intent(id: &str) -> String {
    format!("notice.v1.intent.{id}")
}

/// Where the wish to test a receiver stands in NOTICES.
#[must_use]
pub fn notice_test(id: &str) -> String {
    format!("notice.v1.test.{id}")
}

/// Where an attempt to tell stands in NOTICES, once for ever.
#[must_use]
pub fn notice_attempt(id: &str, k: u32) -> String {
    format!("notice.v1.attempt.{id}.{k}")
}

/// Every attempt that an intent leads.
#[must_use]
pub fn notice_attempts(id: &str) -> String {
    format!("notice.v1.attempt.{id}.*")
}

/// Where the answer to an attempt stands in NOTICES.
#[must_use]
pub fn notice_answer(id: &str, k: u32) -> String {
    format!("notice.v1.answer.{id}.{k}")
}

/// Where the end of an intent stands in NOTICES, once for ever.
#[must_use]
pub fn notice_result(id: &str) -> String {
    format!("notice.v1.result.{id}")
}

/// What a message of NOTICES is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// An intent.
    Intent,
    /// The wish to test a receiver.
    Test,
    /// An attempt.
    Attempt,
    /// What a channel answered.
    Answer,
    /// What became of an intent.
    Result,
}

/// What a message of NOTICES is, by its subject; none: of a later version.
#[must_use]
pub fn notice_kind(subject: &str) -> Option<NoticeKind> {
    match subject.strip_prefix("notice.v1.")?.split('.').next()? {
        "intent" => Some(NoticeKind::Intent),
        "test" => Some(NoticeKind::Test),
        "attempt" => Some(NoticeKind::Attempt),
        "answer" => Some(NoticeKind::Answer),
        "result" => Some(NoticeKind::Result),
        _ => None,
    }
}

/// Where the sealed secret of a receiver stands in CHANNELS.
#[must_use]
pub fn receiver_secret(team: &TeamId, receiver: &ReceiverId) -> String {
    format!("receiver.{team}.{receiver}")
}

/// Where the sealed token of a team's bot stands in CHANNELS.
#[must_use]
pub fn bot_secret(team: &TeamId) -> String {
    format!("bot.{team}")
}

/// Where the gateway asks for a back-test of a team's rule.
#[must_use]
pub fn backtest_ask(team: &TeamId) -> String {
    format!("backtest.v1.ask.{team}")
}

/// The team of a subject of [`BACKTEST_ASKS`].
#[must_use]
pub fn team_of_backtest_ask(subject: &str) -> Option<TeamId> {
    subject.strip_prefix("backtest.v1.ask.")?.parse().ok()
}

/// Where the gateway says whether somebody still waits for a back-test.
#[must_use]
pub fn backtest_heed(team: &TeamId, run: &RunId) -> String {
    format!("backtest.v1.heed.{team}.{run}")
}

/// Where the processors tell of a back-test.
#[must_use]
pub fn backtest_told(team: &TeamId, run: &RunId) -> String {
    format!("backtest.v1.told.{team}.{run}")
}

/// Where a processor parks what it can never handle.
#[must_use]
pub fn parked(processor: &ProcessorName) -> String {
    format!("parked.v1.{processor}")
}

/// Everything that the public feed tells of a team.
#[must_use]
pub fn public_feed(team: &TeamId) -> String {
    format!("public.v1.{team}.>")
}

/// Where the public feed tells the latest view of a host.
#[must_use]
pub fn public_host(team: &TeamId, host: &HostId) -> String {
    format!("public.v1.{team}.host.{host}")
}

/// Whom a fact belongs to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum JournalScope {
    /// One team.
    Team(TeamId),
    /// No team: people and their tokens. Written `_`, which is no team's id.
    Everyone,
}

impl fmt::Display for JournalScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Team(team) => team.fmt(f),
            Self::Everyone => f.write_str("_"),
        }
    }
}

impl FromStr for JournalScope {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text == "_" { Ok(Self::Everyone) } else { Ok(Self::Team(text.parse()?)) }
    }
}

/// The subject of a fact: whom it belongs to, its kind and what it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalSubject {
    /// Whom it belongs to.
    pub scope: JournalScope,
    /// The kind of fact.
    pub kind: &'static str,
    /// The id of what it is about.
    pub id: String,
}

impl JournalSubject {
    /// Where a fact belongs; `None` when its kind cannot belong to this scope.
    #[must_use]
    pub fn of(scope: JournalScope, fact: &Fact) -> Option<Self> {
        let (kind, id, of_team) = match fact {
            Fact::User { id, .. } => (JOURNAL_KINDS[0], id.to_string(), false),
            Fact::Token { id, .. } => (JOURNAL_KINDS[1], id.to_string(), false),
            Fact::Team { id, .. } => (JOURNAL_KINDS[2], id.to_string(), true),
            Fact::Member { id, .. } => (JOURNAL_KINDS[3], id.to_string(), true),
            Fact::Invitation { id, .. } => (JOURNAL_KINDS[4], id.to_string(), true),
            Fact::Host { id, .. } => (JOURNAL_KINDS[5], id.to_string(), true),
            Fact::Reader { id, .. } => (JOURNAL_KINDS[6], id.to_string(), true),
            Fact::Credential { id, .. } => (JOURNAL_KINDS[7], id.to_string(), true),
            Fact::Flag { id, .. } => (JOURNAL_KINDS[8], id.to_string(), true),
            Fact::Rule { id, .. } => (JOURNAL_KINDS[9], id.to_string(), true),
            Fact::Silence { id, .. } => (JOURNAL_KINDS[10], id.to_string(), true),
            Fact::Acknowledgement { episode, .. } => (JOURNAL_KINDS[11], episode.id()?.to_string(), true),
            Fact::Resolution { episode, .. } => (JOURNAL_KINDS[12], episode.id()?.to_string(), true),
            Fact::AlertDefaults { id, .. } => (JOURNAL_KINDS[13], id.to_string(), true),
            Fact::Maintenance { id, .. } => (JOURNAL_KINDS[14], id.to_string(), true),
            Fact::Receiver { id, .. } => (JOURNAL_KINDS[15], id.to_string(), true),
            Fact::LinkOffer { id, .. } => (JOURNAL_KINDS[16], id.to_string(), true),
            Fact::Chat { id, .. } => (JOURNAL_KINDS[17], id.to_string(), true),
            Fact::ReceiverFailure { id, .. } => (JOURNAL_KINDS[18], id.to_string(), true),
            Fact::Bot { id, .. } => (JOURNAL_KINDS[19], id.to_string(), true),
            Fact::BotState { id, .. } => (JOURNAL_KINDS[20], id.to_string(), true),
            Fact::Behind { id, .. } => (JOURNAL_KINDS[21], id.to_string(), true),
        };
        let its_own = match (&scope, fact) {
            (
                JournalScope::Team(team),
                Fact::Team { id, .. }
                | Fact::AlertDefaults { id, .. }
                | Fact::Bot { id, .. }
                | Fact::BotState { id, .. },
            ) => team == id,
            (JournalScope::Team(_), _) => of_team,
            (JournalScope::Everyone, _) => !of_team,
        };
        its_own.then_some(Self { scope, kind, id })
    }
}

impl fmt::Display for JournalSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "journal.v1.{}.{}.{}", self.scope, self.kind, self.id)
    }
}

impl FromStr for JournalSubject {
    type Err = SubjectError;
    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let form = || SubjectError::Form(text.chars().take(200).collect());
        let mut words = text.strip_prefix("journal.v1.").ok_or_else(form)?.split('.');
        let mut word = || words.next().filter(|word| !word.is_empty()).ok_or_else(form);
        let (scope, kind, id) = (word()?.parse()?, word()?, word()?.to_owned());
        let kind = JOURNAL_KINDS.into_iter().find(|known| *known == kind).ok_or_else(form)?;
        if words.next().is_some() { Err(form()) } else { Ok(Self { scope, kind, id }) }
    }
}

/// Which way a sample came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// As it was taken.
    Live,
    /// From the spool, after an outage.
    Backfill,
}

/// The subject of a sample: whose it is and which way it came.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SampleSubject {
    /// Live or back-fill.
    pub lane: Lane,
    /// The owner.
    pub team: TeamId,
    /// The partition; not always [`Shard::of`] the host: it was fixed at enrolment.
    pub shard: Shard,
    /// The host.
    pub host: HostId,
}

impl SampleSubject {
    /// The live subject of a host in its own shard.
    #[must_use]
    pub fn live(team: TeamId, host: HostId) -> Self {
        Self { lane: Lane::Live, shard: Shard::of(&host), team, host }
    }

    /// The same host on the other lane.
    #[must_use]
    pub fn on(&self, lane: Lane) -> Self {
        Self { lane, ..self.clone() }
    }
}

impl fmt::Display for SampleSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lane = match self.lane {
            Lane::Live => "sample",
            Lane::Backfill => "backfill",
        };
        write!(f, "{lane}.v1.{}.{}.{}", self.team, self.shard, self.host)
    }
}

/// Why a subject is not one of a sample.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// The words do not stand as in `sample.v1.<team>.<shard>.<host>`.
    #[error(
        "{0:?} is not the subject of a sample: expected sample.v1.<team>.<shard>.<host> or its backfill twin"
    )]
    Form(String),
    /// A word is no id.
    #[error(transparent)]
    Id(#[from] InvalidId),
}

impl FromStr for SampleSubject {
    type Err = SubjectError;
    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let form = || SubjectError::Form(text.chars().take(200).collect());
        let mut words = text.split('.');
        let lane = match words.next() {
            Some("sample") => Lane::Live,
            Some("backfill") => Lane::Backfill,
            Some(_) | None => return Err(form()),
        };
        let mut word = || words.next().ok_or_else(form);
        if word()? != "v1" {
            return Err(form());
        }
        let subject = Self { lane, team: word()?.parse()?, shard: word()?.parse()?, host: word()?.parse()? };
        if words.next().is_some() { Err(form()) } else { Ok(subject) }
    }
}

/// Every key of a bucket, as its stream's filter.
#[must_use]
pub fn bucket_filter(bucket: &str) -> String {
    format!("$KV.{bucket}.>")
}

/// Where a key of a bucket stands in the bucket's stream.
#[must_use]
pub fn bucket_key(bucket: &str, key: &str) -> String {
    format!("$KV.{bucket}.{key}")
}

/// The key of a host in the LATEST bucket: `<team>.<host>`.
#[must_use]
pub fn latest_key(team: &TeamId, host: &HostId) -> String {
    format!("{team}.{host}")
}

/// The keys of every host of a team in the LATEST bucket, as a filter.
#[must_use]
pub fn latest_of_team(team: &TeamId) -> String {
    format!("{team}.*")
}

/// Reads a key of the LATEST bucket back.
///
/// # Errors
/// When it is not `<team>.<host>`.
pub fn parse_latest_key(key: &str) -> Result<(TeamId, HostId), SubjectError> {
    let (team, host) =
        key.split_once('.').ok_or_else(|| SubjectError::Form(key.chars().take(200).collect()))?;
    Ok((team.parse()?, host.parse()?))
}

/// The key of a processor's snapshot of one shard in the SNAPSHOTS bucket.
#[must_use]
pub fn snapshot_key(processor: &ProcessorName, shard: Shard) -> String {
    format!("{processor}.{shard}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_subject_reads_back_what_it_prints() {
        let live = SampleSubject::live("default".parse().unwrap(), "web-1".parse().unwrap());
        assert_eq!(live.to_string(), "sample.v1.default.31.web-1");
        assert_eq!(live.to_string().parse(), Ok(live.clone()));
        let backfill = live.on(Lane::Backfill);
        assert_eq!(backfill.to_string(), "backfill.v1.default.31.web-1");
        assert_eq!(backfill.to_string().parse(), Ok(backfill));
    }

    #[test]
    fn other_subjects_are_refused() {
        for bad in [
            "tick.v1",
            "sample.v2.a.00.b",
            "sample.v1.a.00",
            "sample.v1.a.00.b.c",
            "sample.v1.a.64.b",
            "sample.v1.*.00.b",
            "",
        ] {
            assert!(bad.parse::<SampleSubject>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_team_of_a_back_test_is_that_of_its_subject() {
        let team: TeamId = "default".parse().unwrap();
        assert_eq!(team_of_backtest_ask(&backtest_ask(&team)), Some(team));
        for bad in ["backtest.v1.ask.*", "backtest.v1.ask.a.b", "backtest.v1.told.a", ""] {
            assert_eq!(team_of_backtest_ask(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn a_latest_key_reads_back() {
        let (team, host) = ("default".parse().unwrap(), "web-1".parse().unwrap());
        assert_eq!(parse_latest_key(&latest_key(&team, &host)), Ok((team, host)));
        assert!(parse_latest_key("default").is_err());
    }
}
