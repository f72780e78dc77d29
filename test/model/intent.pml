/*
 * What runs on an engine: a statement that is not safe to repeat, from the durable intent to launch it to a terminal state that
 * tells the truth about it. One query, three incarnations (0 accepted it), engines that epochs do not fence.
 *
 * A commit of a step (steps.ts, by the journal) is one `atomic`: that a repeated commit is recognised, and a zombie's refused, is
 * shown by ownership.pml; an answer that comes late, or after the query was claimed, is a node that goes on late. The effects
 * are those of src/actors/effects: schedule, submit, follow, stop, settle, and orphan with decideOrphan (src/domain/recovery.ts).
 * A crash is a node that never moves again, a freeze one that goes on much later.
 *
 * Engines, by what the contract of src/engines/contract.ts lets them be:
 *   1 transactional: the statement and a marker commit together (MySQL, PostgreSQL); the old backend is ended, then the marker read
 *   2 opaque: nothing tells what became of a statement whose backend was ended (DDL, autocommit)
 *   3 reattachable: another node finds the run by its handle and goes on with it (Trino)
 *
 * Rules can be removed: NO_INTENT, NO_IDENTITY, IDENTITY_UNCHECKED, NO_GUARD, NO_END_ASKED, NO_WORD_ASKED, STOPPED_WITHOUT_WORD,
 * LOST_WITHOUT_WORD, UNKNOWN_IS_ENDED, ABANDON_CANCELS, LAUNCH_AFTER_CANCEL.
 */
#ifndef ENGINE
#define ENGINE 1
#endif
#define TRANSACTIONAL (ENGINE == 1)
#define OPAQUE (ENGINE == 2)
#define REATTACHABLE (ENGINE == 3)
#ifndef RUNS
#define RUNS 3 /* runs at the engine, of all attempts */
#endif
#ifndef EPOCHS
#define EPOCHS 4
#endif
#define INCARNATIONS 3
#define NOBODY 9

/* states of the query */
#define QUEUED 1
#define LAUNCHED 2
#define LAUNCHED_STOPPING 3
#define RUNNING 4
#define RUNNING_STOPPING 5
#define FAILING 6 /* another attempt follows */

/* what a terminal state says of the statement */
#define EXECUTED 1     /* SUCCESSFUL; or FAILED RECOVERY_FAILED, "executed, rows lost" */
#define NOT_EXECUTED 2 /* CANCELED; FAILED NODE_LOST; FAILED with the engine's own message */
#define UNKNOWN 3      /* FAILED EXECUTION_UNKNOWN */

/* runs at the engine */
#define NONE 0
#define OPEN 1      /* it has an identity; nothing was sent */
#define SENT 2      /* executes */
#define COMMITTED 3 /* its effect is there */
#define ENDED 4     /* without effect, and nothing sent to it runs any more */

/* ---- the database: the row, and whether it is in current_query */
bool current = true
byte status = QUEUED, epoch = 1, version = 1, owner = 0, handle = 0
bool cancelRequested = false, stopForCancel = false
bool dead[INCARNATIONS]

/* ---- the engine */
byte runs[RUNS + 1]
byte opened = 0

/* ---- seen from outside */
byte effects = 0

/* ---- properties */
bool I5_executed_at_most_once = true
bool I7_no_effect_after_the_end = true
bool the_outcome_is_true = true
bool no_launch_after_a_cancel = true
bool no_zombie_ends_the_run_of_another = true
inline hold(property, condition) {
  property = (condition);
  assert(property)
}
/* With ONLY_I5 a missing rule is shown by the statement that it lets run twice, not by what it breaks before that. */
inline alsoHold(property, condition) {
#ifndef ONLY_I5
  hold(property, condition)
#else
  skip
#endif
}

/* ---- the guard of every commit: epoch and version */
#ifdef NO_GUARD
#define mine() (current)
#else
#define mine() (current && epoch == ep && version == ver)
#endif
/* One step of this owner; where it is refused, the actor is let go of (host.ts #refused). */
inline commit(to) {
  atomic {
    if
    :: mine() -> status = to; version++; ver++; st = to
    :: else -> goto letGo
    fi
  }
}
inline end(word) {
  atomic {
    if
    :: mine() ->
       alsoHold(the_outcome_is_true, (word != EXECUTED || effects >= 1) && (word != NOT_EXECUTED || effects == 0));
       current = false; status = 0; handle = 0; stopForCancel = false
    :: else
    fi;
    goto letGo
  }
}
/* ---- the engine's end of a run: after it, nothing of it can take effect any more */
inline endRunNow(which) {
  if
  :: which != 0 && (runs[which] == OPEN || runs[which] == SENT) -> runs[which] = ENDED
  :: else
  fi
}
inline endRun(which) {
  atomic {
    if
    :: which != 0 && (runs[which] == OPEN || runs[which] == SENT) -> runs[which] = ENDED
    :: else
    fi
  }
}

/* STOP_REQUESTED becomes durable: the state is `stopping` from then on */
inline stopRequested() {
  atomic {
    if
    :: mine() ->
       status = (st == LAUNCHED -> LAUNCHED_STOPPING : RUNNING_STOPPING); st = status; version++; ver++;
       stopForCancel = cancelRequested
    :: else -> goto letGo
    fi
  }
}

proctype Node(byte me) {
  byte ep = 0, ver = 0, st = 0;
  byte has = 0;  /* the run that this node holds a connection to, or has attached */
  byte knows = 0; /* the handle that is in its actor's context */

idle:
  /* host.ts look and revive: the row as it is now; what follows may come much later */
  atomic {
    current && owner == me ->
    ep = epoch; ver = version; st = status; knows = handle
  };
  if
  :: st == QUEUED -> goto schedule
  :: st == FAILING -> goto settle
  :: else -> goto orphan
  fi;

schedule:
#ifdef NO_INTENT
  /* sent first, told to the database after it */
  atomic { opened < RUNS -> opened++; has = opened; runs[has] = SENT };
#endif
  if
  :: cancelRequested -> end(NOT_EXECUTED)
  /* LAUNCHED carries AND NOT cancel_requested; its refusal takes the actor back to QUEUED */
  :: atomic {
       opened < RUNS ->
       if
#ifdef LAUNCH_AFTER_CANCEL
       :: mine() ->
#else
       :: mine() && !cancelRequested ->
#endif
          alsoHold(no_launch_after_a_cancel, !cancelRequested);
          status = LAUNCHED; st = LAUNCHED; version++; ver++; handle = 0; knows = 0; stopForCancel = false
       :: mine() && cancelRequested -> goto schedule
       :: else -> goto letGo
       fi
     }
  fi;
#ifdef NO_INTENT
  goto started;
#endif

  /* ---- submit: the driver gets an identity from the engine, which has nothing to run yet */
submitting:
  if
  /* the machine may leave `submitting` at any moment of this: STOP_REQUESTED for a cancel, or for a hand-over */
  :: st == LAUNCHED -> stopRequested()
  :: atomic { opened < RUNS -> opened++; has = opened; runs[has] = OPEN }
  fi;
  if
  :: has == 0 -> goto submitting
  :: else
  fi;
#ifndef NO_IDENTITY
  if
  :: st == LAUNCHED -> stopRequested()
  :: true
  fi;
  if
  /* onIdentity: IDENTIFIED is a step of `submitting` only */
  :: st == LAUNCHED ->
     atomic {
       if
       :: mine() -> handle = has; knows = has; version++; ver++
       :: else -> goto letGo
       fi
     }
#ifndef IDENTITY_UNCHECKED
  /* refused by the machine: the driver is told, and sends nothing */
  :: st != LAUNCHED -> endRun(has); goto stopping
#else
  :: st != LAUNCHED
#endif
  fi;
#endif
  if
  :: st == LAUNCHED -> stopRequested()
  :: true
  fi;
  /* the statement; a backend that was ended takes it no more */
  atomic {
    if
    :: runs[has] == OPEN -> runs[has] = SENT
    :: else
    fi
  };
started:
  if
  :: st == LAUNCHED_STOPPING -> goto stopping
  :: st == LAUNCHED ->
     if
     :: atomic {
          true;
          if
          :: mine() -> status = RUNNING; st = RUNNING; version++; ver++
#if defined(NO_INTENT) || defined(NO_IDENTITY)
             ; handle = has; knows = has
#endif
          :: else -> goto letGo
          fi
        }
     :: true -> stopRequested(); goto stopping
     fi
  fi;

  /* ---- follow */
following:
  if
  :: atomic { runs[has] == COMMITTED } -> end(EXECUTED)
  /* it failed by itself, which the engine says on a connection that is still there; or another has ended it */
  :: atomic { runs[has] == ENDED } -> end(NOT_EXECUTED)
  :: atomic { runs[has] == ENDED } -> goto lost
  /* the connection to the engine is lost (EngineError unavailable, process-died); the run may go on */
  :: !REATTACHABLE -> goto lost
  :: true -> stopRequested(); goto stopping
  /* a run that can be reattached is given away while it runs */
  :: REATTACHABLE && epoch < EPOCHS && ep < EPOCHS ->
     atomic {
       if
       :: mine() -> owner = (me + 1) % INCARNATIONS; epoch++; version++
       :: else
       fi;
       goto letGo
     }
  fi;

  /* ---- the engine is lost to an owner that lives: another attempt (failure.ts), by what the engine says */
lost:
#ifdef LOST_WITHOUT_WORD
  commit(FAILING);
  goto settle;
#else
  endRun(has);
  goto word;
#endif

  /* ---- stop: asks for the end, and goes on when the engine has confirmed it */
stopping:
  endRun(has);
#ifdef STOPPED_WITHOUT_WORD
  if
  :: stopForCancel -> end(NOT_EXECUTED)
  :: else -> commit(FAILING); goto settle
  fi;
#else
  goto word;
#endif

  /* ---- a claimant, or whoever finds its own row without an actor: attach, else inquire, then decideOrphan */
orphan:
  has = knows;
  if
  :: REATTACHABLE && has != 0 ->
     if
     :: runs[has] == ENDED -> goto word
     /* still there: reattached; the first GET starts what nobody had started, the same run whoever sends it */
     :: else ->
        atomic {
          if
          :: runs[has] == OPEN -> runs[has] = SENT
          :: else
          fi
        };
        if
        :: st == LAUNCHED -> goto started
        :: st == RUNNING -> goto following
        :: else -> goto stopping
        fi
     fi
  :: else
  fi;
#ifdef NO_WORD_ASKED
  commit(FAILING);
  goto settle;
#endif
#ifndef NO_END_ASKED
  endRun(has);
#endif

  /* ---- the engine's word of a run whose end was asked for, and what is done */
word:
  if
  /* no identity was durable: nothing was sent */
  :: has == 0 -> goto ended
  :: has != 0 && !OPAQUE && runs[has] == COMMITTED -> end(EXECUTED)
  :: has != 0 && !OPAQUE && runs[has] != COMMITTED -> goto ended
  :: has != 0 && OPAQUE ->
#ifdef UNKNOWN_IS_ENDED
     goto ended
#else
     end(UNKNOWN)
#endif
  fi;
ended:
  if
  :: cancelRequested -> end(NOT_EXECUTED)
  :: true -> end(NOT_EXECUTED) /* onRecovery: fail, NODE_LOST; or the statement's own failure */
  :: opened < RUNS -> commit(FAILING)
  fi;

settle:
  has = 0;
  atomic {
    if
    :: mine() -> status = QUEUED; st = QUEUED; version++; ver++; handle = 0; knows = 0; stopForCancel = false
    :: else -> goto letGo
    fi
  };
  goto schedule;

  /* ---- let go of, or fenced (host.ts #drop, abandon): writes nothing */
letGo:
#ifdef ABANDON_CANCELS
  if
  :: has != 0 && dead[me] ->
     atomic {
       alsoHold(no_zombie_ends_the_run_of_another, !(current && owner != me && handle == has && runs[has] == SENT));
       endRunNow(has)
     }
  :: true
  fi;
#endif
  atomic { ep = 0; ver = 0; st = 0; has = 0; knows = 0 };
  goto idle
}

/* Any leader's fencing and claiming (see ownership.pml), whoever it takes for dead. */
proctype Leader() {
  byte target = 0;
  do
  :: atomic { current && !dead[owner] && (dead[0] -> 1 : 0) + (dead[1] -> 1 : 0) + (dead[2] -> 1 : 0) < 2 -> dead[owner] = true }
  :: atomic {
       current && dead[owner] && epoch < EPOCHS ->
       select (target : 0 .. INCARNATIONS - 1);
       if
       :: !dead[target] -> owner = target; epoch++; version++
       :: else
       fi;
       target = 0
     }
  od
}

proctype Client() {
  atomic { current -> cancelRequested = true }
}

/* Executes what it was sent, or fails it, whenever it likes. */
proctype Engine() {
  byte which;
  do
  :: atomic {
       select (which : 1 .. RUNS);
       if
       :: runs[which] == SENT ->
          if
          :: effects++;
             hold(I5_executed_at_most_once, effects <= 1);
             alsoHold(I7_no_effect_after_the_end, current);
             runs[which] = COMMITTED
          :: runs[which] = ENDED
          fi
       :: else
       fi;
       which = 0
     }
  od
}

init {
  atomic { run Node(0); run Node(1); run Node(2); run Leader(); run Client(); run Engine() }
}
