/*
 * Submissions: one idempotency key, the client that repeats its request at any node until it is answered, draining nodes that give the
 * row to another member, members that are fenced meanwhile, and commits whose answer is lost. Each request that reaches a node makes a
 * query of its own (a new handle); one at most may become durable, and every answer must name it.
 *
 * `submit` (src/store/submissions.ts) is one transaction: after an attempt whose outcome is unknown it first looks for its own transition;
 * then the target's row in `member`, FOR SHARE; then INSERT INTO submission_key … ON DUPLICATE KEY UPDATE (which waits for a rival) and the
 * read of whose the key is; then the row. Those locks hold to the commit, so all of it is one step. It is repeated when its answer was lost
 * (`Database.repeat`), or the node dies or freezes with it, and the client turns to another.
 *
 * Rules can be removed: NO_KEY, KEY_APART, NO_MEMBER_GUARD, FENCED_BEFORE_COMMITTED, MOVE_APART.
 */
#ifndef REQUESTS
#define REQUESTS 3 /* requests of the client under this key, each with a handle of its own: 1 .. REQUESTS */
#endif
#define INCARNATIONS 3
#define NONE 0

/* ---- the database */
bool dead[INCARNATIONS]
byte keyOf = NONE                 /* submission_key: whose handle */
bool current[REQUESTS + 1]        /* rows of current_query, by handle */
bool finished[REQUESTS + 1]
byte owner[REQUESTS + 1]

/* ---- seen from outside */
byte acknowledged = NONE          /* the handle that an answer named */
byte rows = 0                     /* queries that ever became durable */

bool one_query_per_key = true
bool I1_acknowledged_is_in_exactly_one_table = true
bool I8_no_query_of_a_fenced_member = true
bool all_answers_name_one_query = true
bool refused_is_not_durable = true
inline hold(property, condition) {
  property = (condition);
  assert(property)
}

#define exactlyOnce(h) ((current[h] -> 1 : 0) + (finished[h] -> 1 : 0) == 1)

/* The answer reaches the client, which may have given this request up long ago. */
inline answer(h) {
  hold(all_answers_name_one_query, acknowledged == NONE || acknowledged == (h));
  acknowledged = (h);
  hold(I1_acknowledged_is_in_exactly_one_table, exactlyOnce(h))
}

inline insertRow(h, t) {
  hold(I8_no_query_of_a_fenced_member, !dead[t]);
  rows++;
#ifndef ONLY_ANSWERS
  hold(one_query_per_key, rows == 1);
#endif
  current[h] = true;
  owner[h] = t
}

/* A request at some node (host.ts submit): the node itself owns the row, or while it drains another member, the next one when that was
 * fenced. At any point it may stop for ever. */
proctype Request(byte handle) {
  byte target = 0;
  bool again = false;      /* an earlier attempt may have committed */
  bool refused = false;

choose:
  atomic {
    select (target : 0 .. INCARNATIONS - 1);
    again = false
  };
attempt:
#ifdef KEY_APART
  /* the key in a transaction of its own */
  atomic {
    if
    :: keyOf == NONE -> keyOf = handle
    :: else
    fi
  };
#endif
  atomic {
    if
#ifdef FENCED_BEFORE_COMMITTED
    :: dead[target] -> refused = true
#endif
    /* its own transition is there: it had committed */
    :: again && (current[handle] || finished[handle]) -> answer(handle); goto done
    :: else ->
       if
#ifndef NO_MEMBER_GUARD
       :: dead[target] -> refused = true
#endif
#ifndef NO_KEY
       :: keyOf != NONE && keyOf != handle ->
          if
          :: answer(keyOf); goto done /* duplicate */
          :: again = true             /* that answer is lost */
          fi
#endif
       :: else ->
#ifndef NO_KEY
          keyOf = handle;
#endif
          insertRow(handle, target);
          if
          :: answer(handle); goto done
          :: again = true
          fi
       fi
    fi
  };
  if
  :: refused ->
     /* fenced: NODE_STOPPING, "not accepted"; the node joins again, or another member is tried */
     atomic { refused = false; hold(refused_is_not_durable, !current[handle] && !finished[handle]) };
     if
     :: goto choose
     :: goto done
     fi
  :: else -> goto attempt
  fi;
done:
  skip
}

/* A leader fences, claims, and an owner finishes: as ownership.pml has it. */
proctype Cluster() {
  byte h = 0;
  do
  :: atomic { select (h : 0 .. INCARNATIONS - 1); dead[h] = (dead[h] || (dead[0] -> 1 : 0) + (dead[1] -> 1 : 0) + (dead[2] -> 1 : 0) < 2); h = 0 }
  :: atomic {
       select (h : 1 .. REQUESTS);
       if
       :: current[h] && dead[owner[h]] ->
          if
          :: !dead[0] -> owner[h] = 0
          :: !dead[1] -> owner[h] = 1
          :: !dead[2] -> owner[h] = 2
          fi
       :: else
       fi;
       h = 0
     }
  :: atomic {
       select (h : 1 .. REQUESTS);
       if
       :: current[h] ->
          current[h] = false;
#ifndef MOVE_APART
          finished[h] = true; h = 0
#endif
       :: else -> h = 0
       fi
     };
#ifdef MOVE_APART
     atomic {
       if
       :: h != 0 -> finished[h] = true; h = 0
       :: else
       fi
     }
#endif
  od
}

/* Reads at any time, at any node: both tables in one UNION ALL (queries.ts). */
proctype Reader() {
  do
  :: atomic { acknowledged != NONE -> hold(I1_acknowledged_is_in_exactly_one_table, exactlyOnce(acknowledged)) }
  od
}

init {
  atomic {
    byte i;
    for (i : 1 .. REQUESTS) { run Request(i) }
    i = 0;
    run Cluster(); run Reader()
  }
}
