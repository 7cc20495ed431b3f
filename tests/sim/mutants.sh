#!/usr/bin/env bash
# Plants old bugs in a copy of the source, one at a time, and shows what catches each.
#
# usage: tests/sim/mutants.sh [--dry] [name...]
#
# --dry only tells whether each edit still applies.
#
# Run it whenever the simulation changes: a bug that survives means that a judge is missing. An
# edit that no longer applies is an error, and so is a copy that does not compile, or one without
# any bug that fails. SEEDS and CARGO_TARGET_DIR are passed on.
set -euo pipefail

root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$root/target/mutants}
export SEEDS=${SEEDS:-600} RUST_BACKTRACE=0
# Four times as fast, all assertions included: most of the time goes into runs, not into builds.
export CARGO_PROFILE_DEV_OPT_LEVEL=${CARGO_PROFILE_DEV_OPT_LEVEL:-1} CARGO_PROFILE_DEV_DEBUG=0
dry=
[ "${1:-}" != --dry ] || { dry=yes; shift; }
only=("$@")
survivors=0
planted=0
stale=0

cd "$root"
git ls-files -z | while IFS= read -r -d '' file; do
    if [ -e "$file" ]; then cp --parents "$file" "$copy"; fi
done

# edit FILE OLD NEW: OLD must be there exactly once.
edit() {
    OLD=$2 NEW=$3 perl -0777 -i -pe '
        BEGIN { $old = $ENV{OLD}; $new = $ENV{NEW} }
        $count = () = /\Q$old\E/g;
        die "mutants.sh: found $count times in $ARGV, not once:\n$old\n" if $count != 1;
        s/\Q$old\E/$new/;
    ' "$copy/$1"
}

# judge NAME: runs the simulation, and says what caught the bug.
judge() {
    local output status=0 caught
    if [ "$dry" ]; then
        planted=$((planted + 1))
        return
    fi
    output=$(cd "$copy" && timeout 900 cargo test --no-default-features --test sim 2>&1) || status=$?
    if grep -q '^error: could not compile' <<<"$output"; then
        printf '%s\nmutants.sh: "%s" does not compile\n' "$output" "$1" >&2
        exit 1
    fi
    planted=$((planted + 1))
    if [ "$status" -eq 0 ]; then
        survivors=$((survivors + 1))
        caught='SURVIVES'
    elif [ "$status" -eq 124 ]; then
        caught='no end within a quarter of an hour'
    else
        caught=$(sed -n 's/^seed \([0-9]*\) fails.*/seed \1/p' <<<"$output" | head -1)
        local tests
        tests=$(sed -n 's/^test sim::\([a-z_]*::\)*\([a-z_]*\) .* FAILED$/\2/p' <<<"$output")
        caught="$caught${caught:+${tests:+, }}$(head -1 <<<"$tests")"
        local more=$(($(wc -l <<<"$tests") - 1))
        if [ "$more" -gt 0 ]; then caught="$caught and $more more"; fi
    fi
    printf '%-52s %s\n' "$1" "$caught"
}

# plant NAME FILE OLD NEW [FILE OLD NEW]...: plants a bug, judges, and takes it out again.
plant() {
    local name=$1 file
    shift
    if [ "${#only[@]}" -gt 0 ] && [[ ! " ${only[*]} " == *" $name "* ]]; then
        return
    fi
    local files=()
    while [ "$#" -gt 0 ]; do
        if [ "$dry" ]; then
            edit "$1" "$2" "$3" || stale=$((stale + 1))
        else
            edit "$1" "$2" "$3"
        fi
        files+=("$1")
        shift 3
    done
    judge "$name"
    for file in "${files[@]}"; do cp "$root/$file" "$copy/$file"; done
}

if [ -z "$dry" ] && ! sound=$(cd "$copy" && timeout 900 cargo test --no-default-features --test sim 2>&1); then
    printf '%s\nmutants.sh: it fails without a bug\n' "$sound" >&2
    exit 1
fi

p=src/proxy
[ "$dry" ] || printf '%-52s %s\n' 'planted bug' 'caught by'

plant read-once-per-edge $p/flow.rs \
    'Ok(count) => return Receipt::Bytes(count),' \
    'Ok(count) => { source.readable = false; return Receipt::Bytes(count) }'
plant short-read-taken-for-drained $p/flow.rs \
    'Ok(count) => return Receipt::Bytes(count),' \
    'Ok(count) => { source.readable = count == scratch.len(); return Receipt::Bytes(count) }'
plant short-read-at-an-end-taken-for-drained src/net/unread.rs \
    'Unknown | Bytes | Nothing if ready.read_closed => End,' 'Unknown | Nothing if ready.read_closed => Bytes,'
plant short-read-at-the-urgent-mark-taken-for-drained src/net/unread.rs \
    'Unknown | Bytes | Nothing if ready.urgent => Urgent,' ''
plant end-believed-at-the-urgent-mark src/net/unread.rs \
    'let is_odd = ready.failed || (ready.read_closed && ready.urgent);' 'let is_odd = ready.failed;' \
    src/net/unread.rs 'Urgent if ready.read_closed => Anything,' 'Urgent if ready.read_closed => End,'
plant edge-after-a-short-read-ignored src/net/unread.rs \
    'Unknown | Nothing if ready.readable => Bytes,' 'Unknown if ready.readable => Bytes,'
plant full-read-taken-for-a-short-one src/net/unread.rs \
    '(1..room).contains(count)' '(1..=room).contains(count)'
plant edge-of-a-connect-not-told $p/connect.rs \
    'server.stream.edge(ready);' ''
plant end-of-what-can-be-moved-taken-for-the-end $p/flow.rs \
    'Ok(0) => None,' 'Ok(0) => { *self = Flow::Ended; let _ = sink.stream.shutdown_write(); Some(0) }'
plant moved-past-the-urgent-mark src/net/unread.rs \
    'matches!(self, Unread::Bytes | Unread::End)' 'self != Unread::Nothing'
plant rest-of-a-pipe-dropped $p/flow.rs \
    'if !sink.is_broken && !pipe.is_empty() {' 'if false {'
plant pipe-reused-with-what-was-in-it $p/pool.rs \
    'if pipe.is_empty() && self.spare_pipes.len()' 'if self.spare_pipes.len()'
plant bytes-in-a-pipe-not-held $p/flow.rs \
    'Flow::Piped(pipe) => pipe.len(),' 'Flow::Piped(_) => 0,'
plant pipe-not-given-back $p/flow.rs \
    'Flow::Piped(pipe) => pool.give_pipe_back(pipe),' 'Flow::Piped(pipe) => drop(pipe),'
plant flow-waiting-in-a-pipe-not-stuck $p/flow.rs \
    'matches!(self, Flow::Stuck(_) | Flow::Piped(_))' 'matches!(self, Flow::Stuck(_))'
plant moved-bytes-not-counted $p/flow.rs \
    $'Ok(0) => sink.writable = false,\n            Ok(count) => sink.sent += count as u64,' \
    $'Ok(0) => sink.writable = false,\n            Ok(_) => {}'
plant traced-bytes-moved-unseen $p/relay.rs \
    'let is_unseen = !is_logged && !self.watch.is_on() && !self.faults.concern(key);' 'let is_unseen = true;'
plant captured-from-the-start-moved-unseen $p/watch.rs \
    'let is_on = tracer.is_dumping() || capture.is_some();' 'let is_on = tracer.is_dumping();'
plant head-of-a-capture-lost $p/capture.rs \
    '.filter(|_| !is_packet(&lost[head..]))' '.filter(|_| false)'
plant failure-at-the-end-of-a-file-not-said $p/capture.rs \
    $'        let found = self.flush();\n        self.unsaid.extend(found);\n' $'        self.flush();\n'
plant packet-parted-by-a-full-disk $p/capture.rs \
    'self.waiting.truncate(self.torn + head);' 'self.waiting.clear();'
plant delay-from-a-readiness-that-is-none $p/faults.rs \
    'if delays && source.readable && flow.is_open() && is_empty(&mut source.stream) {' 'if false {'
plant delay-for-each-read $p/faults.rs \
    $'                Some(until) => {\n                    self.due.remove(&(until, key.0));\n                    most' \
    $'                Some(until) => {\n                    faulty.until[way] = None;\n                    self.due.remove(&(until, key.0));\n                    most'
plant throttle-by-the-turn $p/faults.rs \
    'let step = STEP.max(Duration::from_secs(1) / rate);' 'let step = Duration::from_millis(1);'
plant reset-on-purpose-as-an-end src/proxy/ending.rs \
    'CloseReason::Fault(Fault::Truncate(_)) => None,' 'CloseReason::Fault(_) => None,'
plant moves-do-not-block $p/flow.rs \
    $'source.readable = false;\n                *self = Flow::Open(Pace::Bulk);' '*self = Flow::Open(Pace::Bulk);'
plant spare-pipes-hoarded $p/pool.rs \
    'self.spare_pipes.len() < SPARE_PIPES_MAX' 'self.spare_pipes.len() < 100'
plant spare-pipes-kept-at-rest $p/pool.rs \
    $'        self.spare_pipes = Vec::new();\n' ''
plant used-ring-kept-at-rest $p/pool.rs \
    'if std::mem::take(&mut self.was_lent) {' 'if false {'
plant ring-asked-for-each-time $p/pool.rs \
    'if std::mem::take(&mut self.was_lent) {' 'if true {'
plant stand-not-followed src/balance/stands.rs \
    '**stand = Stand::of(self.server);' '_ = stand;'
plant short-write-taken-for-full $p/flow.rs \
    'sink.sent += count as u64;' \
    'sink.sent += count as u64; sink.writable = written == bytes.len();'
plant out-of-budget-not-queued $p/relay.rs \
    'if left == Left::OutOfBudget || pair.has_last_words() {' \
    'if left != Left::OutOfBudget && pair.has_last_words() {'
plant emfile-taken-for-would-block $p/listener.rs \
    '_ if self.net.is_lack(&error) => self.pause_accepting(&error),' \
    '_ if self.net.is_lack(&error) => arriving.is_ready = false,'
plant no-pause-after-emfile $p/listener.rs \
    'self.listening.paused_until = Some(self.now.moment + ACCEPT_PAUSE);' ''
plant accept-not-retried-after-a-close-at-the-limit $p/listener.rs \
    $'                if !self.has_room() {\n                    return;' \
    $'                if !self.has_room() {\n                    self.listening.sockets.iter_mut().for_each(|(_, one)| one.is_ready = false);\n                    return;'
plant accept-not-resumed-by-a-close $p/ending.rs \
    'self.listening.resume();' ''
plant aborted-client-taken-for-an-empty-queue $p/listener.rs \
    'io::ErrorKind::WouldBlock => arriving' 'io::ErrorKind::WouldBlock | io::ErrorKind::ConnectionAborted => arriving'
plant limit-of-pairs-not-held $p/listener.rs \
    'self.transfers.count() < self.listeners.common.conn_max' \
    'self.transfers.count() <= self.listeners.common.conn_max'
plant ring-not-given-back $p/ending.rs \
    $'            up.abandon(&mut self.pool);\n' ''
plant ring-overwritten $p/flow.rs \
    'if !self.is_open() {' \
    'if self.has_ended() {' \
    $p/flow.rs \
    'debug_assert!(self.is_open(), "only an open flow is read");' \
    'self.abandon(pool);'
plant server-not-released-on-fail-over $p/connect.rs \
    $'        self.enter(key, Phase::Searching { place: None, until });\n        self.connect(key);' \
    $'        self.pairs[key.0].phase = Phase::Searching { place: None, until };\n        self.connect(key);'
plant writable-taken-for-connected $p/connect.rs \
    'match server.stream.connected(ready) {' \
    'match if ready.failed { server.stream.connected(ready) } else { Ok(ready.writable) } {'
plant stale-timer-obeyed $p/turn.rs \
    'if pair.timer != Some(timer) {' 'if pair.timer.is_none() {'
plant half-close-not-passed-on $p/flow.rs \
    'if !source.is_broken && !is_leaving && sink.stream.shutdown_write().is_err() {' \
    'if false && sink.stream.shutdown_write().is_err() {'
plant edges-dropped-while-connecting $p/connect.rs \
    'server.readable |= ready.readable || ready.read_closed;' ''
plant edges-of-the-client-dropped-while-connecting $p/turn.rs \
    'end.edge(ready);' 'if !is_connecting { end.edge(ready) }'
plant client-that-left-while-connecting-kept $p/turn.rs \
    $'                if pair.client.is_broken {\n' $'                if false {\n'
plant reset-after-the-end-not-noticed $p/pair.rs \
    'if ready.failed && matches' 'if ready.failed && ready.readable && matches'
plant read-closed-ignored $p/pair.rs \
    'self.readable |= ready.readable || ready.read_closed;' 'self.readable |= ready.readable;'
plant broken-end-not-read-on $p/pair.rs \
    $'        self.is_broken = true;\n        self.readable = true;' $'        self.is_broken = true;'
plant spurious-failure-believed $p/pair.rs \
    'if ready.failed && matches!(self.stream.take_error(), Ok(Some(_)) | Err(_)) {' 'if ready.failed {'
plant reset-passed-on-as-an-end $p/flow.rs \
    'if !source.is_broken && !is_leaving && sink.stream' 'if !is_leaving && sink.stream'
plant half-close-left-to-a-close-that-does-not-come $p/relay.rs \
    'other.has_ended() && !sink.is_broken' 'other.has_ended() || !other.is_stuck()'
plant reset-not-made $p/ending.rs \
    'CloseReason::Broken | CloseReason::HalfClosed' 'CloseReason::Broken => Some(Manner::Fin), CloseReason::HalfClosed'
plant last-bytes-lost-to-the-reset $p/relay.rs \
    'if other.stream.unsent().is_ok_and(|count| count > 0) {' 'if false && other.stream.unsent().is_ok() {'
plant no-limit-for-the-last-bytes $p/relay.rs \
    '} else if pair.is_broken() {' '} else if false {'
plant stuck-bytes-not-seen-where-nothing-comes $p/pair.rs \
    'flow.is_stuck() || (flow.is_open()' '(flow.is_open()'
plant source-not-looked-at-again $p/pair.rs \
    'if self.readable && !self.is_broken && self.stream.is_drained() {' 'if self.readable {'
plant flow-to-a-broken-end-kept $p/relay.rs \
    'pair.give_up_broken(&mut self.pool);' ''
plant what-was-seen-not-taken-away $p/flow.rs \
    'while taken < written {' 'while false && taken < written {'
plant all-that-was-seen-taken-away $p/flow.rs \
    'let written = write(sink, chunk);
        let mut taken = 0;
        while taken < written {' \
    'let (passed, written) = (write(sink, chunk), chunk.len()); let _ = passed;
        let mut taken = 0;
        while taken < written {'
plant flow-without-a-ring-stuck-for-ever $p/flow.rs \
    'self.held() == 0 && (sink.writable || !matches!(self, Flow::Stuck(None)))' \
    'self.held() == 0 && !matches!(self, Flow::Stuck(None))'
plant flow-without-a-ring-not-limited $p/flow.rs \
    '*self = Flow::Stuck(None);' ''
plant memory-not-asked-for $p/memory.rs \
    'if net.has_memory(RING_SIZE) && pool.grow() {' 'if pool.grow() {'
plant interruption-taken-for-a-break $p/flow.rs \
    $'                sink.sent += count as u64;\n            }\n            Err(error) if error.kind() == ErrorKind::WouldBlock => sink.writable = false,\n            Err(error) if error.kind() == ErrorKind::Interrupted => {}\n' \
    $'                sink.sent += count as u64;\n            }\n            Err(error) if error.kind() == ErrorKind::WouldBlock => sink.writable = false,\n'
plant interruption-at-a-pipe-taken-for-a-break $p/flow.rs \
    $'            Ok(count) => sink.sent += count as u64,\n            Err(error) if error.kind() == ErrorKind::WouldBlock => sink.writable = false,\n            Err(error) if error.kind() == ErrorKind::Interrupted => {}\n' \
    $'            Ok(count) => sink.sent += count as u64,\n            Err(error) if error.kind() == ErrorKind::WouldBlock => sink.writable = false,\n'
plant rest-of-a-ring-dropped $p/flow.rs \
    'ring.consume(written);' 'ring.clear(); let _ = written;'
plant line-held-back-at-the-end-lost $p/flow.rs \
    'Ok(0) if holds_back => return Receipt::LastWords,' ''
plant line-held-back-at-a-break-lost $p/flow.rs \
    'Err(_) if holds_back => {' 'Err(_) if false => {'
plant inspected-without-a-ring $p/inspection.rs \
    'if self.pool.is_ready() { appetite.min(most) } else { appetite.min(SMALL).min(most) }' 'appetite.min(most)' \
    $p/pool.rs 'Ring::holding(bytes)' 'Ring::holding(&bytes[..bytes.len().min(100)])'
plant inspected-bytes-sent-past-those-that-wait $p/inspection.rs \
    'if inspection.ends.is_some() || !way.flow.is_open() {' 'if inspection.ends.is_some() {'
plant data-connection-cut-short-looks-complete $p/ending.rs \
    'Phase::Relaying { server, .. } | Phase::Connecting { server, .. } => Some(server),' \
    'Phase::Relaying { server, .. } => Some(server), Phase::Connecting { .. } => None,'
plant client-that-broke-while-connecting-looks-complete $p/ending.rs \
    'CloseReason::ClientGone if pair.is_broken() => Some(Manner::Reset),' ''
plant peer-behind-a-stranger-left-for-later $p/transfers.rs \
    'for _ in 0..ACCEPTS_MAX {' 'for _ in 0..1 {'
plant data-connection-kept-without-its-control $p/transfers.rs \
    'self.close(pair, CloseReason::ControlGone);' ''
plant data-cut-by-a-good-end-of-its-control $p/transfers.rs \
    'if has_ended_well {' 'if false {'
plant strangers-let-in-at-a-data-port $p/transfers.rs \
    'from.client() != ClientAddr::Inet(port.from)' 'false'
plant data-port-kept-without-its-control $p/transfers.rs \
    'if let Some(number) = self.transfers.open.of(key.0).copied() {' \
    'if let Some(number) = self.transfers.open.of(key.0).copied().filter(|_| false) {'
plant control-idle-while-data-moves $p/limits.rs \
    'active.map_or(pair.moved[0], |active| pair.moved[0].max(active))' 'active.map_or(pair.moved[0], |_| pair.moved[0])'
plant data-port-open-for-ever $p/transfers.rs \
    '&& due <= now' '&& due + PORT_TIME <= now'
plant lack-taken-for-the-server-s-fault $p/connect.rs \
    'Err(error) if self.net.is_lack(&error) => {' 'Err(error) if false && self.net.is_lack(&error) => {'
plant source-that-is-not-there-taken-for-the-server-s-fault $p/connect.rs \
    'if self.lacks_source(at, id, error) {' 'if false {'
plant source-that-is-not-there-told-each-time $p/refusal.rs \
    'if !self.refusing.without_source.contains(&known) {' 'if true {'
plant retried-for-ever $p/connect.rs \
    'if until <= self.now.moment {' 'if false && until <= self.now.moment {'
plant lack-not-retried $p/connect.rs \
    'self.arm(key, TimerKind::Retry, RETRY_PAUSE);' ''
plant connect-not-timed $p/connect.rs \
    'self.arm(key, TimerKind::Connect, patience);' ''
plant time-of-a-connect-that-stands-taken-for-a-failure $p/connect.rs \
    'return self.limit_reached(key);' 'return self.close(key, CloseReason::Broken);'
plant lasting-connection-not-settled $p/limits.rs \
    'server.stream.settle();' ''
plant further-addresses-not-tried $p/connect.rs \
    'usize::from(next.address) < server.endpoints.len()' 'usize::from(next.address) > server.endpoints.len()'
plant failed-server-not-blacklisted $p/connect.rs \
    'if !listener.balancer.failed(id, self.now) {' 'if id != ServerId::Regular(u32::MAX) {'
plant same-server-offered-again src/balance/mod.rs \
    'search.note_tried(index);' ''
plant place-released-at-connect $p/connect.rs \
    'listener.balancer.connected(place.id, pair.client_id, self.now);' \
    'listener.balancer.connected(place.id, pair.client_id, self.now); listener.balancer.release(place.id);'
plant limit-of-a-server-not-held src/balance/servers.rs \
    'self.max == 0 || self.clients() < limit' 'self.max == 0 || self.clients() <= limit'
plant pending-not-counted-down $p/connect.rs \
    'listener.pending -= 1;' ''
plant limit-of-connects-of-the-first-listener-for-all $p/listener.rs \
    'self.listeners[arriving.listener].may_begin()' 'self.listeners.main().may_begin()'
plant client-taken-for-one-of-the-first-listener $p/listener.rs \
    'self.open(listener, stream, from);' '{ let _ = listener; self.open(crate::balance::MAIN, stream, from) }'
plant place-released-at-the-first-listener $p/ending.rs \
    'let emptied = listener.balancer.release(place.id);' \
    'let emptied = self.listeners.main_mut().balancer.release(place.id);'
plant listeners-without-turns $p/listener.rs \
    'let first = self.listening.last + 1;' 'let first = 0;'
plant other-listeners-open-in-a-drain $p/listen.rs \
    'close_where(|arriving| arriving.transport == Transport::Tcp);' \
    'close_where(|arriving| arriving.transport == Transport::Tcp && arriving.listener == crate::balance::MAIN);'
plant lack-told-after-every-pause $p/listener.rs \
    'if before.is_none_or(|before| self.now.moment.since(before) >= SILENCE) {' 'if let _ = before {'
plant lack-told-only-once-for-ever $p/listener.rs \
    'before.is_none_or(|before| self.now.moment.since(before) >= SILENCE)' 'before.is_none()'
plant pairs-of-a-listener-not-counted-down $p/ending.rs \
    'listener.pairs -= 1;' ''
plant limit-of-connects-not-held src/balance/listeners.rs \
    'self.pending < self.balancer.settings.pending_max' 'self.pending <= self.balancer.settings.pending_max'
plant queued-for-ever $p/turn.rs \
    'if std::mem::take(&mut pair.is_queued) {' 'if pair.is_queued {'
plant no-farewell $p/ending.rs \
    '(None, _) => return self.say_farewell(key),' '(None, _) => {}'
plant farewell-without-end $p/ending.rs \
    'self.arm(key, TimerKind::Farewell, FAREWELL_TIME);' ''
plant leaving-client-not-read $p/ending.rs \
    'Ok(_) => return self.queue(key),' 'Ok(_) => client.readable = false,'
plant idle-pair-cut-without-a-reset $p/ending.rs \
    'Some(if is_cut { Manner::Reset } else { Manner::Fin })' 'Some(Manner::Fin)'
plant quiet-pair-reset $p/ending.rs \
    'Some(if is_cut { Manner::Reset } else { Manner::Fin })' 'Some(Manner::Reset)'
plant idle-while-the-reader-is-slow $p/pair.rs \
    'if before[direction] != after[direction] {' 'if before[direction].1 != after[direction].1 {'
plant limits-never-looked-at-again $p/limits.rs \
    'Some(limit) => self.await_timer(key, Timer { kind: limit.kind, due: limit.look }),' 'Some(_) => {}'
plant kernel-s-bytes-not-looked-at $p/limits.rs \
    'look_at_kernel(pair, self.now.moment);' ''
plant stopped-taken-for-silent $p/limits.rs \
    'let now = self.seen_until;' 'let now = self.now.moment;'
plant half-closed-pairs-not-limited $p/limits.rs \
    'consider(pair.is_half_closed(),' 'consider(false,'
plant stuck-pairs-not-limited $p/limits.rs \
    'consider(down.is_stuck(),' 'consider(false,'
plant other-direction-taken-for-life $p/limits.rs \
    'stuck, pair.moved[0],' 'stuck, silent,'
plant ended-idler-handed-over $p/idlers.rs \
    'if looks_ended(&mut self.idlers.all[youngest].stream) {' 'if false {'
plant ended-idler-kept $p/idlers.rs \
    'if has_failed || has_ended {' 'if has_failed && has_ended && false {'
plant idlers-without-a-pause $p/idlers.rs \
    'pause.until = now + pause.time;' 'pause.until = now;'
plant place-of-an-idler-not-given-back $p/idlers.rs \
    $'            self.listeners[at].balancer.idler_used(id);\n' ''
plant idler-in-a-clients-place $p/idlers.rs \
    'if self.listeners[at].balancer.is_crowded(id)' 'if false && self.listeners[at].balancer.is_crowded(id)'
plant idler-of-another-server $p/idlers.rs \
    'idler.is_ready && idler.at == at && idler.id == id;' 'idler.is_ready && idler.at == at;'
plant idlers-kept-in-a-drain $p/drain.rs \
    $'        self.close_idlers();\n' '' \
    $p/idlers.rs 'if is_over { 0 } else {' 'if is_over && false { 0 } else {'
plant refusing-server-gets-idlers $p/idlers.rs \
    'self.server_failed(at, id, &error);' 'let _ = error;'
plant queue-dropped-by-a-drain $p/drain.rs \
    'self.let_in_who_waits();' ''
plant listener-open-in-a-drain $p/drain.rs \
    'self.close_to_new_clients();' ''
plant time-of-a-drain-ignored $p/drain.rs \
    'self.draining_since.filter(|_| !limit.is_zero())' 'self.draining_since.filter(|_| limit.is_zero())'
plant successor-kept-in-a-drain $p/drain.rs \
    $'        self.give_up_upgrade();\n' ''
plant upgrade-given-up-and-successor-kept $p/upgrade.rs \
    $'            self.net.end_successor();\n            self.say' '            self.say'
plant queue-not-emptied-before-a-hand-over $p/upgrade.rs \
    $'        self.accept();\n' ''
plant late-successor-waited-for-in-vain $p/upgrade.rs \
    'Upgrade::Starting(until) if until <= self.now.moment' 'Upgrade::Starting(until) if false && until <= self.now.moment'
plant stays-after-a-hand-over $p/upgrade.rs \
    'Upgrade::HandedOver if self.is_done()' 'Upgrade::HandedOver if false && self.is_done()'
plant leaves-before-its-pairs $p/upgrade.rs \
    'Upgrade::HandedOver if self.is_done() &&' 'Upgrade::HandedOver if'
plant blacklist-by-the-wall-clock src/balance/mod.rs \
    'server.blacklisted_until = server.blacklisted_until.max(Some(now.moment + time));' \
    'server.blacklisted_until = Some(crate::base::time::Moment::from_nanos(now.unix.saturating_sub(5_000_000_000) * 1_000_000_000) + time);'
plant log-by-the-wrong-clock $p/relay.rs \
    'self.now.unix, server, chunk' 'self.now.moment.as_nanos() / 1_000_000_000, server, chunk'
plant timeouts-forgotten $p/errands.rs \
    'Some(due.since(self.now.moment))' 'Some(due.since(self.now.moment) / 2)'
plant place-of-an-association-not-given-back $p/udp/ending.rs \
    $'        self.release_place(one.listener, one.server);\n' ''
plant place-kept-in-a-fail-over $p/udp/engage.rs \
    'if place.id != server.id {' 'if false {'
plant more-associations-than-there-may-be $p/udp/engage.rs \
    'self.end_least_used(None);' ''
plant look-left-behind $p/udp/ending.rs \
    $'        if let Some(due) = one.due {\n            udp.due.remove(&(due, key));\n        }\n' ''
plant question-without-an-answer-not-looked-at $p/udp/association.rs \
    'self.waits_since.filter(|_| expects_answers(settings))' 'self.waits_since.filter(|_| false)'
plant question-of-a-dead-server-lost $p/udp/engage.rs \
    'match self.send_up(key, &held) {' 'match Ok::<(), io::Error>(()) {'
plant answers-of-two-sockets-by-one $p/udp/down.rs \
    'self.udp.outbox_place != place || ' ''
plant used-association-ended $p/udp/up.rs \
    $'        self.udp.order.touch(key);\n' '' \
    $p/udp/down.rs $'        self.udp.order.touch(key);\n' ''
plant new-client-in-a-drain $p/udp/engage.rs \
    'if self.draining_since.is_some() {' 'if false {'
plant copy-not-given-back $p/udp/ending.rs \
    $'        self.udp.let_go_held(key);\n        let udp' '        let udp'
plant clients-of-a-proxy-taken-for-one $p/udp/up.rs \
    'by_client.get(&(place, way, told))' 'by_client.get(&(place, way, None))' \
    $p/udp/engage.rs 'by_client.insert((place, way, told), key)' 'by_client.insert((place, way, None), key)' \
    $p/udp/association.rs '(self.place, self.way, self.told)' '(self.place, self.way, None)'
plant client-of-a-proxy-not-told $p/udp/told.rs \
    'one.told.or(own)' 'own'
plant header-of-a-datagram-left-in $p/udp/told.rs \
    'Some((told, &bytes[length..]))' 'Some((told, bytes))'
plant datagram-without-its-header-let-in $p/udp/told.rs \
    $'&Endpoint::inet(way.client), why);\n                None' $'&Endpoint::inet(way.client), why);\n                Some((None, bytes))'
plant address-that-was-asked-not-told $p/udp/told.rs \
    'one.way.local.unwrap_or(bound.ip())' 'bound.ip()'
plant few-wait-as-a-crowd-does $p/coalescing.rs \
    'self.pairs.before >= PAIRS' 'true'
plant more-is-let-come-though-there-is-work $p/turn.rs \
    'timeout.is_none_or(|timeout| timeout > time)' 'true'
plant errand-of-an-ended-pair-forgotten $p/ending.rs \
    $'        self.errands.come();\n        let pair = &mut self.pairs[key.0];\n        let place' \
    $'        let pair = &mut self.pairs[key.0];\n        let place'
plant errand-of-a-timer-forgotten $p/mod.rs \
    $'        self.errands.come();\n        self.timers' $'        self.timers'
plant errand-of-a-queued-pair-forgotten $p/mod.rs \
    $'            self.errands.come();\n            self.runnable' $'            self.runnable'
plant errand-of-a-connected-pair-forgotten $p/turn.rs \
    $'            self.errands.come();\n        }\n        let is_connecting' $'        }\n        let is_connecting'
plant errand-of-another-event-forgotten $p/turn.rs \
    $'                self.errands.come();\n                self.other' $'                self.other'
plant errand-of-what-is-seen-forgotten $p/relay.rs \
    $'            self.errands.come();\n' ''
plant errand-at-a-time-forgotten $p/errands.rs \
    'self.are_there |= self.due.is_some_and(|due| due <= now);' ''
plant errands-done-once-only $p/errands.rs \
    'Errands { are_there: true, due: None }' 'Errands { are_there: false, due: None }'
plant bytes-wait-for-an-end-that-is-far $p/relay.rs \
    'source.is_at_end() && ' ''

if [ "$planted" -lt "${#only[@]}" ]; then
    echo "mutants.sh: not every one of these exists: ${only[*]}" >&2
    exit 1
fi
if [ "$dry" ]; then
    echo "$planted bugs, of which $stale edits apply no more"
    [ "$stale" -eq 0 ]
    exit
fi
echo "$planted planted, $survivors survived"
[ "$survivors" -eq 0 ]
