/*
 * Who writes a query: owner and epoch, the versions of its row, the claim of an orphan, the hand-over, the move between the
 * two tables, and zombies. One query; it was submitted (version 1, epoch 1) by incarnation 0. Incarnations are what owns
 * queries: with INCARNATIONS = 4, three nodes of which one has joined again.
 *
 * Every `atomic` that touches the row is one statement or one transaction of src/store (named beside it). In a transaction
 * that changes the row its lock holds from the UPDATE to the COMMIT, so the whole of it is one step; one whose UPDATE counted
 * 0 holds no lock (READ COMMITTED), so its two SELECTs are a step of their own.
 *
 * Between a node's reading and its writing anything may happen, as often and as long as it likes: that is a freeze, and, if
 * it never writes, a crash. An answer may be lost: then the same statement runs again (journal.ts repeats a flight as it
 * was). What was sent may also arrive once more, late, after its repetition has long been answered (`late`): more than
 * MySQL's protocol allows for a transaction, which needs an answer to each of its statements. Hints do not exist here: a
 * node may look at its rows at any time, or never.
 *
 * With LIVENESS it is asked whether the query ends: then a crash must be said (`crashed`), what a node may do at any time is bounded,
 * and every process that can go on does so in the end (weak fairness). Members that live may still be fenced.
 *
 * Rules can be removed: NO_EPOCH_GUARD, NO_VERSION_GUARD, NO_CLAIM_GUARD, CLAIM_KEEPS_EPOCH, SPLIT_MOVE, VERSION_IS_PROOF,
 * NO_CANCEL_GUARD, READ_FINISHED_FIRST, CLAIM_FROM_LIVING,
 * FINISH_UNGUARDED; of liveness: CLAIM_ON_EVENT_ONLY, LOOK_ON_HINT_ONLY.
 */
#ifndef INCARNATIONS
#define INCARNATIONS 4
#endif
#ifndef VERSIONS
#define VERSIONS 8 /* the highest version that a step may lead to */
#endif
#ifndef EPOCHS
#define EPOCHS 4
#endif
/* What may happen besides; the more owners and versions there are, the less of this fits one search. */
#ifndef CANCELS
#define CANCELS 1
#endif
#ifndef PAGES
#define PAGES 1
#endif
#ifndef FAILURES
#define FAILURES 1 /* attempts fail */
#endif
#ifndef LATE
#define LATE 1 /* what was sent arrives once more, or after its sender has let go */
#endif
#ifndef READER
#define READER 1 /* a client reads the query */
#endif
#define NOBODY 9

/* states of the query machine, those that matter to ownership */
#define QUEUED 1
#define LAUNCHED 2
#define RUNNING 3
#define FAILING 4
#define SUCCESSFUL 5
#define FAILED 6
#define CANCELED 7
/* what else an owner writes */
#define GIVEN_AWAY 8 /* HANDED_OVER */
#define PAGE 9       /* pages.ts append */

#define terminal(what) (what == SUCCESSFUL || what == FAILED || what == CANCELED)

/* ---- the database */
bool current = true          /* the row is in current_query */
byte finished = 0            /* rows in finished_query */
byte status = QUEUED, version = 1, epoch = 1, owner = 0
bool cancelRequested = false
bool page = false            /* stored_pages: one at most */
bool dead[INCARNATIONS]      /* member.state = 'dead', for good */

/* ---- an incarnation: its actor (LiveQuery), and what it has sent */
typedef Flight { byte what; byte epoch; byte version; byte to }
typedef Actor {
  bool live;
  byte status; byte version; byte epoch;  /* what it believes durable */
  bool cancel;                            /* it was told of the cancel */
  bool recorded;                          /* the transition with the id of its present flight is in query_transition */
  bool missed                             /* the UPDATE of its present flight counted 0: the row is to be read */
}

/* ---- seen from outside */
byte writerOf[EPOCHS + 2]
/* Incarnations that have owned it: 0 .. seen - 1. Those that have not are alike, so the next one is always number `seen`, and none
 * of them dies: a target that dies before it looks has owned it by then. */
byte seen = 1

#ifdef LIVENESS
bool crashed[INCARNATIONS]
byte crashes = 2, losses = 1, drops = 1, gifts = 1, falseFences = 1
#define can(what) (what > 0)
#define pay(what) what--
#define well(i) (!crashed[i] && !dead[i])
#else
#define can(what) true
#define pay(what) skip
#endif
#if defined(LIVENESS) && defined(LOOK_ON_HINT_ONLY)
bool hinted = false
#define hint() if :: hinted = true :: skip fi
#define mayLook hinted
#else
#define hint() skip
#define mayLook true
#endif
#if defined(LIVENESS) && defined(CLAIM_ON_EVENT_ONLY)
bool event = false
#define mayClaim event
#else
#define mayClaim true
#endif

/* ---- properties; what fails is printed by its name */
bool I1_one_terminal_state = true
bool I1_in_exactly_one_table = true
bool I2_one_writer_per_epoch = true
bool I3_versions_without_gap_or_repetition = true
bool I8_no_write_of_a_zombie = true
bool told_only_what_is_durable = true
bool no_launch_after_a_cancel = true
bool claimed_only_from_the_dead = true
inline hold(property, condition) {
  property = (condition);
  assert(property)
}

/* steps.ts: UPDATE current_query SET … WHERE handle = ? AND epoch = ? AND version = ? [AND cancel_requested = 0], then, where it
 * counted, INSERT INTO query_transition, and for a terminal state INSERT INTO finished_query SELECT … and DELETE; pages.ts append:
 * UPDATE … WHERE handle = ? AND epoch = ? AND stored_pages = ? */
#ifdef NO_EPOCH_GUARD
#define epochOf(f) (true)
#else
#define epochOf(f) (f.epoch == epoch)
#endif
#ifdef NO_VERSION_GUARD
#define versionOf(f) (true)
#else
#define versionOf(f) (f.version == version)
#endif
#ifdef NO_CANCEL_GUARD
#define mayLaunch(f) (true)
#else
#define mayLaunch(f) (f.what != LAUNCHED || !cancelRequested)
#endif
/* Never counts again, since epochs and versions only grow: with all guards in place it is as good as gone. */
#if defined(NO_EPOCH_GUARD) || defined(NO_VERSION_GUARD) || defined(NO_CLAIM_GUARD) || defined(CLAIM_KEEPS_EPOCH)
#define futile(f) (false)
#else
#define futile(f) (!current || f.epoch != epoch || (f.what == PAGE && page) || (f.what != PAGE && f.version != version))
#endif
#define counts(f) (current && epochOf(f) && ((f.what == PAGE && !page) || (f.what != PAGE && versionOf(f) && mayLaunch(f))))

inline see(who) {
  if
  :: who >= seen -> seen = who + 1
  :: else
  fi
}

inline write(me, f) {
  hold(I8_no_write_of_a_zombie, owner == me && f.epoch == epoch);
  hold(I2_one_writer_per_epoch, writerOf[f.epoch] == NOBODY || writerOf[f.epoch] == me);
  writerOf[f.epoch] = me;
  if
  :: f.what == PAGE -> page = true
  :: f.what != PAGE ->
     hold(I3_versions_without_gap_or_repetition, f.version == version);
     hold(no_launch_after_a_cancel, f.what != LAUNCHED || !cancelRequested);
     /* EXECUTED and STORED share a commit */
     version = f.version + (f.what == SUCCESSFUL -> 2 : 1);
     if
     :: f.what == GIVEN_AWAY -> owner = f.to; epoch = f.epoch + 1; see(owner); hint()
     :: terminal(f.what) ->
        status = f.what;
        hold(I1_one_terminal_state, finished == 0);
        finished++;
#ifndef SPLIT_MOVE
        current = false
#endif
     :: else -> status = f.what
     fi
  fi
}

inline clear(f) { f.what = 0; f.epoch = 0; f.version = 0; f.to = 0 }
inline keepLate() {
  late.what = flight.what; late.epoch = flight.epoch;
  late.version = flight.version; late.to = flight.to
}
/* The actor is let go of (host.ts #drop); what it has sent may be on its way. */
inline drop() {
  if
  :: flight.what != 0 && LATE && (late.what == 0 || futile(late)) && !futile(flight) -> keepLate()
  :: true
  fi;
  clear(flight);
  actor.live = false; actor.status = 0; actor.version = 0; actor.epoch = 0;
  actor.cancel = false; actor.recorded = false; actor.missed = false
}
inline takeOff(w, target) {
  flight.what = w; flight.epoch = actor.epoch; flight.version = actor.version; flight.to = target;
  actor.recorded = false
}
/* The answer is there (live-query.ts landed, host.ts #landed); a copy of the flight may still be on its way. */
inline landed() {
  hold(told_only_what_is_durable, actor.recorded);
  if
  :: LATE && late.what == 0 && !futile(flight) -> keepLate()
  :: true
  fi;
  if
  :: flight.what == PAGE -> skip
  :: terminal(flight.what) || flight.what == GIVEN_AWAY ->
     actor.live = false; actor.status = 0; actor.version = 0; actor.epoch = 0; actor.cancel = false
  :: else ->
     actor.version = flight.version + 1; actor.status = flight.what
  fi;
  clear(flight);
  actor.recorded = false
}
#if INCARNATIONS > 3
#define living() ((dead[0] -> 0 : 1) + (dead[1] -> 0 : 1) + (dead[2] -> 0 : 1) + (dead[3] -> 0 : 1))
#else
#define living() ((dead[0] -> 0 : 1) + (dead[1] -> 0 : 1) + (dead[2] -> 0 : 1))
#endif
#define idle() (actor.live && flight.what == 0)
#define room(n) (actor.version + n <= VERSIONS)

#ifdef LIVENESS
proctype Node(byte me) provided (!crashed[me]) {
#else
proctype Node(byte me) {
#endif
  Actor actor;
  Flight flight;   /* what = 0: none */
  Flight late;     /* an earlier one, to arrive yet */
  byte other;
  do
  /* ---- host.ts look: queries.ts ownedBy and read, then the actor is revived; the row may be another before it acts */
  :: atomic {
       !actor.live && current && owner == me && (version == 1 || mayLook) ->
       actor.live = true; actor.status = status; actor.version = version; actor.epoch = epoch;
       actor.cancel = cancelRequested
     }
  /* and cancels are delivered by it */
  :: atomic { idle() && !actor.cancel && cancelRequested -> actor.cancel = true }
  /* look found the row in another's hands, or the actor is let go of for any other reason */
  :: atomic { actor.live && can(drops) -> pay(drops); drop() }

  /* ---- the machine moves, and its step takes off (query-machine.ts; host.ts and departure.ts for hand-overs) */
  :: atomic { idle() && actor.status == QUEUED && !actor.cancel && room(1) -> takeOff(LAUNCHED, 0) }
  :: atomic { idle() && actor.status == QUEUED && actor.cancel && room(1) -> takeOff(CANCELED, 0) }
  :: atomic { idle() && actor.status == LAUNCHED && room(1) -> takeOff(RUNNING, 0) }
  :: atomic { idle() && actor.status == RUNNING && room(2) -> takeOff(SUCCESSFUL, 0) }
  :: atomic { idle() && actor.status == RUNNING && PAGES -> takeOff(PAGE, 0) }
  :: atomic { idle() && actor.status == RUNNING && FAILURES && room(1) -> takeOff(FAILING, 0) }
  :: atomic { idle() && actor.status == FAILING && room(1) -> takeOff(QUEUED, 0) }
  :: atomic { idle() && actor.status == FAILING && room(1) -> takeOff(FAILED, 0) }
  /* any other member: that it lives is not a condition of the statement */
  :: atomic {
       idle() && (actor.status == QUEUED || actor.status == RUNNING) && room(1) && actor.epoch < EPOCHS && can(gifts) ->
       pay(gifts);
       select (other : 0 .. seen);
       if
       :: other != me && other < INCARNATIONS -> takeOff(GIVEN_AWAY, other)
       :: else
       fi;
       other = 0
     }

  /* ---- the flight reaches the database */
  :: atomic {
       flight.what != 0 && !actor.missed ->
       if
       :: counts(flight) ->
          write(me, flight);
          actor.recorded = true;
          if
          :: landed()
          :: can(losses) -> pay(losses) /* the answer is lost: it will fly again */
          fi
       :: else ->
#ifdef FINISH_UNGUARDED
          if
          :: terminal(flight.what) -> hold(I1_one_terminal_state, finished == 0); finished++; current = false
          :: else
          fi;
#endif
          actor.missed = true
       fi
     }
  /* ---- it counted 0: the row is read, and whether its transition is recorded (steps.ts #explain, pages.ts append) */
  :: atomic {
       actor.missed ->
       actor.missed = false;
       if
#ifdef VERSION_IS_PROOF
       :: flight.what != PAGE && current && version == flight.version + 1 -> landed()
#else
       :: actor.recorded -> landed()
#endif
       :: else ->
          if
          :: current && epoch == flight.epoch && flight.what == LAUNCHED && version == flight.version && cancelRequested ->
             /* cancel-requested: back to what is durable */
             clear(flight); actor.cancel = true
          :: else -> clear(flight); drop() /* fenced, or stale: the next look reads the row */
          fi
       fi
     }

  /* ---- what was sent long ago arrives; nobody waits for its answer */
  :: atomic {
       late.what != 0 ->
       if
       :: counts(late) -> write(me, late)
       :: else
       fi;
       clear(late)
     }
  od
}

/*
 * What a leader does to members and orphans: fencing.ts and recovery.ts, with fence (members.ts) and claim (claims.ts). A claim is
 * one transaction: the lease's row, the target's row (alive) FOR SHARE, the orphan's row FOR UPDATE SKIP LOCKED, the guarded update. As
 * all that it depends on is read under those locks, when and by whom it was decided makes no difference: any leader, at any time.
 * That only one leads, and that it fences rightly, is the matter of lease.pml: here members that live are fenced as well.
 */
#if defined(LIVENESS) && defined(CLAIM_ON_EVENT_ONLY)
#define anEvent() event = true
#else
#define anEvent() skip
#endif
proctype Leader() {
  byte target = 0, dying = 0;
#ifdef NO_CLAIM_GUARD
  byte readEpoch = 0, readVersion = 0;
#endif
  do
  /* fence: UPDATE member SET state = 'dead' */
#ifdef LIVENESS
  :: atomic { falseFences > 0 && current && well(owner) && (well(0) -> 1 : 0) + (well(1) -> 1 : 0) + (well(2) -> 1 : 0) > 1 -> falseFences--; dead[owner] = true; anEvent() }
  :: atomic { crashed[0] && !dead[0] -> dead[0] = true; anEvent() }
  :: atomic { crashed[1] && !dead[1] -> dead[1] = true; anEvent() }
  :: atomic { crashed[2] && !dead[2] -> dead[2] = true; anEvent() }
#ifdef CLAIM_ON_EVENT_ONLY
  :: atomic { event && !(current && dead[owner]) -> event = false }
#endif
#else
  :: atomic {
       select (dying : 0 .. seen - 1);
       if
       :: !dead[dying] && living() > 1 -> dead[dying] = true
       :: else
       fi;
       dying = 0
     }
#endif
#ifdef NO_CLAIM_GUARD
  /* without the guard, and without the lock: what was read is written */
  :: atomic { current && dead[owner] && epoch < EPOCHS && version < VERSIONS -> readEpoch = epoch; readVersion = version };
     atomic {
       select (target : 0 .. seen);
       if
       :: current && target < INCARNATIONS && !dead[target] ->
          owner = target; see(target); epoch = readEpoch + 1; version = readVersion + 1
       :: else
       fi;
       target = 0; readEpoch = 0; readVersion = 0
     }
#else
  :: atomic {
#ifdef CLAIM_FROM_LIVING
       current && epoch < EPOCHS && version < VERSIONS ->
#else
       current && dead[owner] && mayClaim && epoch < EPOCHS && version < VERSIONS ->
#endif
       if
       :: owner != 0 && !dead[0] -> target = 0
       :: owner != 1 && !dead[1] && seen >= 1 -> target = 1
       :: owner != 2 && !dead[2] && seen >= 2 -> target = 2
#if INCARNATIONS > 3
       :: owner != 3 && !dead[3] && seen >= 3 -> target = 3
#endif
       :: else -> target = NOBODY
       fi;
       if
       :: target != NOBODY ->
          hold(claimed_only_from_the_dead, dead[owner]);
          owner = target; see(target); hint();
#ifndef CLAIM_KEEPS_EPOCH
          epoch = epoch + 1;
#endif
          version = version + 1
       :: else
       fi;
       target = 0
     }
#endif
#ifdef SPLIT_MOVE
  /* the move in two transactions: the DELETE comes later */
  :: atomic { current && finished > 0 -> current = false }
#endif
  od
}

/* A client at any node: queries.ts requestCancel, UPDATE current_query SET cancel_requested = 1 WHERE handle = ?; and read, both
 * tables in one UNION ALL. */
proctype Client() {
  bool missing = false;
  do
  :: atomic { current && CANCELS && !cancelRequested -> cancelRequested = true }
#ifdef READ_FINISHED_FIRST
  :: atomic { READER -> missing = (finished == 0) };
     atomic { hold(I1_in_exactly_one_table, !missing || current); missing = false }
#else
  :: atomic { READER -> hold(I1_in_exactly_one_table, (current -> 1 : 0) + finished == 1) }
#endif
  od
}

#ifdef LIVENESS
/* kill -9, while another is there */
proctype Crash() {
  do
  :: atomic { crashes > 0 && well(0) && (well(1) || well(2)) -> crashes--; crashed[0] = true }
  :: atomic { crashes > 0 && well(1) && (well(0) || well(2)) -> crashes--; crashed[1] = true }
  :: atomic { crashes > 0 && well(2) && (well(0) || well(1)) -> crashes--; crashed[2] = true }
  :: atomic { crashes > 0 -> crashes-- }
  od
}

ltl it_ends { <> (finished == 1 && !current) }
#endif

init {
  atomic {
    byte i;
    for (i : 0 .. EPOCHS + 1) { writerOf[i] = NOBODY }
    i = 0;
    run Node(0); run Node(1); run Node(2);
#if INCARNATIONS > 3
    run Node(3);
#endif
    run Leader(); run Client()
#ifdef LIVENESS
    ; run Crash()
#endif
  }
}
