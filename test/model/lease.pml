/*
 * Who leads: the one lease row, its terms, and what a leader may write.
 *
 * Every `atomic` below that touches the row variables is one statement or one transaction of src/store/members.ts (named
 * beside it); whatever else a node does is one step of its own, so that anything may happen between what a node reads and
 * what it does about it. A crash is a process that never moves again and a freeze one that moves much later: an exhaustive
 * search contains both at every point, and needs no statement for them. Clocks are not modelled: a lease may run out at any
 * moment (process Time), and a node that leads may doubt it at any moment or never. So nothing here depends on timing.
 *
 * A lost answer: the statement has had its effect, and the node does it again (`Database.repeat`).
 * Rules can be removed: NO_TERM_GUARD, TERM_NOT_LOCKED, NO_TERM_GROWTH, ACQUIRE_BY_READING, ASSUME_ACQUIRED,
 * UNNAMED_TAKEOVER, RESIGN_UNGUARDED, FENCE_BY_READING, BEAT_REVIVES. Each is then refuted by the property beside it.
 */
#ifndef TERMS
#define TERMS 4 /* the highest term */
#endif
#ifndef INCARNATIONS
#define INCARNATIONS 4 /* of three nodes: 0, 1, 2, and 3, as which node 0 joins again after it was fenced */
#endif
#define NODES 3
#define NOBODY 9

#define ABSENT 0
#define ALIVE 1
#define DEAD 2

/* ---- the database: table lease (one row), tables member and heartbeat */
byte term = 1, holder = 0
bool expired = false
byte state[INCARNATIONS]
bool memberExpired[INCARNATIONS]

/* ---- what was found out about a process, rightly or wrongly (src/cluster/failure-detector.ts); never taken back */
bool proved[INCARNATIONS]

/* ---- what nodes believe: the term that each leads in, 0 = none */
byte leads[NODES]

/* ---- seen from outside */
byte lastTerm = 0, lastWriter = NOBODY

/* ---- properties; what fails is printed by its name */
bool terms_of_accepted_writes_grow = true
bool one_writer_per_term = true
bool taken_only_when_free = true
bool fenced_only_when_due = true
bool the_dead_renew_nothing = true
bool resigned_by_its_holder = true
inline hold(property, condition) {
  property = (condition);
  assert(property)
}

/* A leader's transaction, whatever it writes, begins with isLeader: SELECT … FROM lease WHERE term = ? FOR SHARE, which
 * keeps the row until the commit (leadership.ts). */
inline accepted(writer, withTerm) {
  hold(terms_of_accepted_writes_grow, withTerm >= lastTerm);
  hold(one_writer_per_term, withTerm != lastTerm || lastWriter == writer);
  lastTerm = withTerm;
  lastWriter = writer
}

/* acquireLease: UPDATE lease SET term = term + 1, … WHERE (expires_at <= now OR (holder = ? AND term = ?)) AND EXISTS (a
 * living member); the term is read back in the same transaction. */
inline take(by, became) {
  hold(taken_only_when_free, expired || proved[holder]);
#ifdef ACQUIRE_BY_READING
  became = readTerm + 1;
#else
#ifdef NO_TERM_GROWTH
  became = term;
#else
  became = term + 1;
#endif
#endif
  term = became;
  holder = by;
  expired = false
}

proctype Node(byte node) {
  byte me = node;        /* the incarnation */
  byte deadHolder = NOBODY, deadTerm = 0; /* of the holder that was proved dead: what was read then */
  byte asked = 0;        /* attempts at acquireLease: 0 = none under way, 1, 2 = again after an answer that was lost */
  byte as = NOBODY;      /* the incarnation that asked */
  byte got = 0;
  byte readTerm = 0;     /* only a mutant uses it */
  byte target = NOBODY;

  do
  /* ---- elector.consider: the lease was seen to be free; acquireLease reads it plainly first */
  :: atomic { leads[node] == 0 && asked == 0 && expired && term < TERMS -> asked = 1; as = me; readTerm = term }

  /* ---- the holder is proved dead (a closed socket, then the probe): elector.takeFromDead names it and its term */
  :: atomic {
       leads[node] == 0 && asked == 0 && holder != me && state[holder] == ALIVE && term < TERMS ->
       proved[holder] = true; deadHolder = holder; deadTerm = term; asked = 1; as = me; readTerm = term
     }

  /* ---- acquireLease, its transaction; `as` is who asked, and may have been fenced since */
  :: atomic {
       asked >= 1 ->
       if
#ifdef UNNAMED_TAKEOVER
       :: (expired || deadHolder != NOBODY) && state[as] == ALIVE && term < TERMS ->
#else
#ifdef ACQUIRE_BY_READING
       :: state[as] == ALIVE && term < TERMS && asked == 1 ->
#else
       :: (expired || (holder == deadHolder && term == deadTerm)) && state[as] == ALIVE && term < TERMS ->
#endif
#endif
          take(as, got);
          if
          :: skip
          /* the answer to the commit is lost: the node does not know, and does it again */
          :: got = 0; asked = 2
          fi
       :: else ->
          if
#ifdef ASSUME_ACQUIRED
          :: asked == 2 -> got = term
#else
          /* counted 0, and not for the first time: whose is it? */
          :: asked == 2 && holder == as -> got = term
#endif
          :: else
          fi;
          asked = 0
       fi;
       readTerm = 0;
       if
       :: got != 0 || asked == 0 ->
          /* one that was fenced meanwhile gives back what it took (elector.#acquireNow) */
          if
          :: got != 0 && as == me -> leads[node] = got
          :: got != 0 && as != me && holder == as && term == got -> expired = true
          :: else
          fi;
          asked = 0; got = 0; deadHolder = NOBODY; deadTerm = 0; as = NOBODY
       :: else
       fi
     }

  /* ---- the heartbeat (lease.ts): one UPDATE of the member's row and, with its term, of the lease; the answer may be lost */
  :: atomic {
       state[me] != ABSENT ->
       if
#ifdef BEAT_REVIVES
       :: true ->
#else
       :: state[me] == ALIVE ->
#endif
          hold(the_dead_renew_nothing, state[me] == ALIVE);
          memberExpired[me] = false;
          if
          :: leads[node] != 0 && holder == me && term == leads[node] -> expired = false
          :: else -> leads[node] = 0
          :: leads[node] != 0 && !(holder == me && term == leads[node]) -> skip /* its answer is lost */
          fi
       :: else ->
          /* refused: membership.#lose; the node joins again as a new incarnation (members.ts join) */
          leads[node] = 0; target = NOBODY;
          if
          :: me + NODES < INCARNATIONS ->
             me = me + NODES; state[me] = ALIVE; memberExpired[me] = false
          :: else -> break
          fi
       fi
     }

  /* ---- it is in doubt, and steps down without telling anybody */
  :: atomic { leads[node] != 0 -> leads[node] = 0; target = NOBODY }

  /* ---- resignLease: UPDATE lease SET … WHERE holder = ? AND term = ?; the node has stepped down before it */
  :: leads[node] != 0 ->
     atomic { got = leads[node]; leads[node] = 0; target = NOBODY };
     atomic {
       if
#ifdef RESIGN_UNGUARDED
       :: true ->
#else
       :: holder == me && term == got ->
#endif
          hold(resigned_by_its_holder, holder == me && term == got);
          expired = true
       :: else
       fi;
       got = 0
     }

  /* ---- a leader's write */
#ifdef TERM_NOT_LOCKED
  :: leads[node] != 0 && term == leads[node] ->
     atomic { got = leads[node] + 10 };
     atomic { accepted(me, got - 10); got = 0 }
#else
  :: atomic {
#ifdef NO_TERM_GUARD
       leads[node] != 0 ->
#else
       leads[node] != 0 && term == leads[node] ->
#endif
       accepted(me, leads[node])
     }
#endif

  /* ---- fencing.#judge: a member's lease was read as run out, or it was proved dead */
  :: atomic {
       leads[node] != 0 && target == NOBODY ->
       if
       :: state[0] == ALIVE && me != 0 && (memberExpired[0] || proved[0]) -> target = 0
       :: state[1] == ALIVE && me != 1 && (memberExpired[1] || proved[1]) -> target = 1
       :: state[2] == ALIVE && me != 2 && (memberExpired[2] || proved[2]) -> target = 2
       :: else
       fi
     }
  /* ---- fence: the term, then the heartbeat's row FOR UPDATE, then the lease that it has, then state = 'dead' */
  :: atomic {
       leads[node] != 0 && target != NOBODY ->
       if
#ifdef FENCE_BY_READING
       :: term == leads[node] && state[target] == ALIVE ->
#else
       :: term == leads[node] && state[target] == ALIVE && (memberExpired[target] || proved[target]) ->
#endif
          hold(fenced_only_when_due, memberExpired[target] || proved[target]);
          accepted(me, leads[node]);
          state[target] = DEAD
       :: else
       fi;
       target = NOBODY
     }
  od
}

/* The database's clock: any lease that is not renewed runs out; here, at any time. */
proctype Time() {
  do
  :: atomic { !expired -> expired = true }
  :: atomic { !memberExpired[0] && state[0] == ALIVE -> memberExpired[0] = true }
  :: atomic { !memberExpired[1] && state[1] == ALIVE -> memberExpired[1] = true }
  :: atomic { !memberExpired[2] && state[2] == ALIVE -> memberExpired[2] = true }
  od
}

init {
  atomic {
    state[0] = ALIVE; state[1] = ALIVE; state[2] = ALIVE;
    leads[0] = 1;
    run Node(0); run Node(1); run Node(2); run Time()
  }
}
