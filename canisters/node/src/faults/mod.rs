//! Rules that the node breaks on purpose, so that the laws in `canisters/conformance` can be tested: each must be noticed.
//!
//! Only a node that is built with the feature `faults` can break one; no member of the workspace turns it on. Without it
//! [`broken`] is `false` at compile time, and nothing is left of the places that ask.

#[cfg(feature = "faults")]
pub mod kept;

/// Defines the faults; what each does wrong, and who is meant to notice it, is said in `canisters/conformance/src/faults.rs`.
macro_rules! faults {
    ($($variant:ident = $name:literal,)+) => {
        /// A rule that is broken.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        // Those that need to remember something are asked for only with the feature.
        #[cfg_attr(not(feature = "faults"), allow(dead_code))]
        pub enum Fault {
            $(
                #[doc = $name]
                $variant,
            )+
        }

        #[cfg(feature = "faults")]
        impl std::str::FromStr for Fault {
            type Err = String;

            fn from_str(name: &str) -> Result<Self, String> {
                match name {
                    $($name => Ok(Self::$variant),)+
                    _ => Err(format!("there is no fault `{name}`")),
                }
            }
        }
    };
}

faults! {
    AcceptExpired = "accept-expired",
    AcceptDistantExpiry = "accept-distant-expiry",
    AcceptForgedSignature = "accept-forged-signature",
    AcceptBorrowedSender = "accept-borrowed-sender",
    IgnoreDelegationTargets = "ignore-delegation-targets",
    IgnoreDelegationPermissions = "ignore-delegation-permissions",
    IgnoreDelegationExpiry = "ignore-delegation-expiry",
    IgnoreDelegationLimits = "ignore-delegation-limits",
    ExecuteRepeated = "execute-repeated",
    UnlimitedNonce = "unlimited-nonce",
    IgnoreEffectiveId = "ignore-effective-id",
    LaxCbor = "lax-cbor",
    WrongPrune = "wrong-prune",
    StaleCertificate = "stale-certificate",
    TimeGoesBack = "time-goes-back",
    DelegationWithoutRanges = "delegation-without-ranges",
    WrongQuerySignature = "wrong-query-signature",
    RevealRequests = "reveal-requests",
    RevealCertifiedData = "reveal-certified-data",
    RevealPrivateMetadata = "reveal-private-metadata",
    RevealOtherCanisters = "reveal-other-canisters",
    UnlimitedPaths = "unlimited-paths",
    WrongModuleHash = "wrong-module-hash",
    KeepStateAfterTrap = "keep-state-after-trap",
    KeepStableAfterTrap = "keep-stable-after-trap",
    KeepCertifiedAfterTrap = "keep-certified-after-trap",
    QueryKeepsState = "query-keeps-state",
    WrongContextAllowed = "wrong-context-allowed",
    CopyBeyondEnd = "copy-beyond-end",
    ReplyTwice = "reply-twice",
    WrongRejectCode = "wrong-reject-code",
    ForeignRejectMessage = "foreign-reject-message",
    StableLostOnUpgrade = "stable-lost-on-upgrade",
    ReinstallKeepsStable = "reinstall-keeps-stable",
    UpgradeNotAtomic = "upgrade-not-atomic",
    SkipInit = "skip-init",
    VersionStandsStill = "version-stands-still",
    LaxModules = "lax-modules",
    IgnoreInspection = "ignore-inspection",
    NoEnvironment = "no-environment",
    TimerFiresTwice = "timer-fires-twice",
    TimerSurvivesUpgrade = "timer-survives-upgrade",
    TimerNeverFires = "timer-never-fires",
    SkipCleanup = "skip-cleanup",
    CleanupAlways = "cleanup-always",
    KeepCallsAfterTrap = "keep-calls-after-trap",
    RollBackCaller = "roll-back-caller",
    ReorderPair = "reorder-pair",
    DropCall = "drop-call",
    UnlimitedQueue = "unlimited-queue",
    SilenceIsReply = "silence-is-reply",
    LoseRefund = "lose-refund",
    CreateCycles = "create-cycles",
    AcceptTooMuch = "accept-too-much",
    NeverTimeOut = "never-time-out",
    CompositeKeepsState = "composite-keeps-state",
    CertificateForAll = "certificate-for-all",
    IgnoreControllers = "ignore-controllers",
    UnboundedSettings = "unbounded-settings",
    StopDoesNotWait = "stop-does-not-wait",
    StoppedTakesCalls = "stopped-takes-calls",
    UninstallForgetsContexts = "uninstall-forgets-contexts",
    DeleteRunning = "delete-running",
    ChunkHashUnchecked = "chunk-hash-unchecked",
    ConstantRandom = "constant-random",
    LogsForAll = "logs-for-all",
    TrapNotLogged = "trap-not-logged",
    ForgetHistory = "forget-history",
    WrongMode = "wrong-mode",
    WrongDeadline = "wrong-deadline",
    UnlimitedReplies = "unlimited-replies",
    AppendReplaces = "append-replaces",
    EmptyReplyLost = "empty-reply-lost",
    LongCertifiedData = "long-certified-data",
    LaxBuilding = "lax-building",
    SmallMessages = "small-messages",
    SendUnperformed = "send-unperformed",
    AttachAnything = "attach-anything",
    AvailableAfterAnswer = "available-after-answer",
    FlatteringView = "flattering-view",
    TimerSetOnce = "timer-set-once",
    CounterStandsStill = "counter-stands-still",
    LaxEnvironment = "lax-environment",
    LaxMemory = "lax-memory",
    LossyText = "lossy-text",
    CopyIgnoresOffset = "copy-ignores-offset",
    CallbackWithoutNumber = "callback-without-number",
    SilentTraps = "silent-traps",
    MissingMethodIsAbsent = "missing-method-is-absent",
    AbsentIsError = "absent-is-error",
    AnyMethodAnyWay = "any-method-any-way",
    CallerIsAnonymous = "caller-is-anonymous",
    WrongSelf = "wrong-self",
    InspectEverything = "inspect-everything",
    IgnoreLimits = "ignore-limits",
    BoundedIsUnknown = "bounded-is-unknown",
    VersionByTraps = "version-by-traps",
    CallbackWithoutCycles = "callback-without-cycles",
    LonelyComposite = "lonely-composite",
    GrowGivesNewSize = "grow-gives-new-size",
    LaxStable = "lax-stable",
    OpenChannels = "open-channels",
    StatusForOthers = "status-for-others",
    RefusedModuleEmpties = "refused-module-empties",
    InstallWithoutArgument = "install-without-argument",
    InstallStarts = "install-starts",
    LoseConstants = "lose-constants",
    IgnoreUpgradeFlags = "ignore-upgrade-flags",
    SkipPreUpgrade = "skip-pre-upgrade",
    UpgradeForgets = "upgrade-forgets",
    StartEndsStopWell = "start-ends-stop-well",
    DeletedStays = "deleted-stays",
    UninstallKeepsMemory = "uninstall-keeps-memory",
    UnnamedSettingsReset = "unnamed-settings-reset",
    IgnoreWishes = "ignore-wishes",
    LoseDeposits = "lose-deposits",
    CarelessChunks = "careless-chunks",
    LogsReversed = "logs-reversed",
    LogsStopWhenFull = "logs-stop-when-full",
    HistoryInFull = "history-in-full",
    StatusWithoutMemory = "status-without-memory",
    IgnoreSenderVersion = "ignore-sender-version",
    NoTimestamps = "no-timestamps",
    HideMetadata = "hide-metadata",
    UncertifiedRejections = "uncertified-rejections",
    TalkativeCalls = "talkative-calls",
    AdmitEverything = "admit-everything",
    StaleQuery = "stale-query",
    WrongRootKey = "wrong-root-key",
    HideNodes = "hide-nodes",
    HideControllers = "hide-controllers",
    ProofOptional = "proof-optional",
    NoDelegations = "no-delegations",
    UntaggedAnswers = "untagged-answers",
}

#[cfg(feature = "faults")]
static BROKEN: std::sync::OnceLock<Fault> = std::sync::OnceLock::new();

/// Breaks a rule from now on, in every node of this process; `false` when another one is broken already.
#[cfg(feature = "faults")]
pub fn break_rule(fault: Fault) -> bool {
    BROKEN.set(fault).is_ok()
}

/// Whether a rule is broken.
#[cfg(feature = "faults")]
pub fn broken(fault: Fault) -> bool {
    BROKEN.get() == Some(&fault)
}

/// Whether a rule is broken: never.
#[cfg(not(feature = "faults"))]
pub const fn broken(_: Fault) -> bool {
    false
}
