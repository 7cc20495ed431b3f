# fish completion for penctl
# Made from pen's own tables (tests/completions/files.rs); do not edit.

# The words behind the options and the pen, the one under the cursor not counted.
function __penctl_words
    set -l tokens (commandline -opc)
    set -e tokens[1]
    while set -q tokens[1]
        switch $tokens[1]
            case --token --timeout
                set -e tokens[1]
                set -e tokens[1]
            case '-*'
                set -e tokens[1]
            case '*'
                break
        end
    end
    printf '%s\n' $tokens
end

function __penctl_at
    test (count (__penctl_words)) -eq $argv[1]
end

function __penctl_after
    set -l words (__penctl_words)
    test (count $words) -ge 2; and test $words[2] = $argv[1]
end

complete -c penctl -n '__penctl_at 0' -l token -r -F -d 'has the word that pen wants'
complete -c penctl -n '__penctl_at 0' -l timeout -x -d 'how long pen has to answer'
complete -c penctl -n '__penctl_at 0' -l help -d 'prints help'
complete -c penctl -n '__penctl_at 0' -l version -d 'prints the version'
complete -c penctl -n 'not __penctl_at 0' -f
complete -c penctl -n '__penctl_at 1' -a abort_on_error -d 'Does nothing: where pen finds itself wrong, it aborts.'
complete -c penctl -n '__penctl_at 1' -a acl -d 'Appends an entry to an access list, or makes it what a file has.'
complete -c penctl -n '__penctl_at 1' -a ascii -d 'Shows bytes in dumps as text; with auto, in columns unless all are text.'
complete -c penctl -n '__penctl_at 1' -a blacklist -d 'Leaves a server that failed out that long; 0 for not at all.'
complete -c penctl -n '__penctl_at 1' -a block -d 'Does nothing: pen never waits for a socket.'
complete -c penctl -n '__penctl_at 1' -a capture -d 'Writes what passes to a file, as packets for Wireshark.'
complete -c penctl -n '__penctl_at 1' -a check -d 'Checks servers: tcp, http, smtp, ftp, pop3, imap, ldap, dns, redis, mysql, send, expect.'
complete -c penctl -n '__penctl_at 1' -a check_fall -d 'Takes a server down after N checks that it failed.'
complete -c penctl -n '__penctl_at 1' -a check_interval -d 'Checks each server that often.'
complete -c penctl -n '__penctl_at 1' -a check_rise -d 'Takes it back after N checks that it passed.'
complete -c penctl -n '__penctl_at 1' -a client_acl -d 'Checks clients against an access list.'
complete -c penctl -n '__penctl_at 1' -a client_ipv6 -d 'Tells IPv6 clients apart by so many bits of their address.'
complete -c penctl -n '__penctl_at 1' -a client_max -d 'Lets one client have at most N connections at once; 0 for any number.'
complete -c penctl -n '__penctl_at 1' -a client_rate -d 'Lets one client begin at most N connections in a second, or in SECONDS.'
complete -c penctl -n '__penctl_at 1' -a clients_max -d 'Remembers at most N clients.'
complete -c penctl -n '__penctl_at 1' -a close -d 'Closes connection N.'
complete -c penctl -n '__penctl_at 1' -a coalesce -d 'Lets more come for so long where much comes; 0 for never.'
complete -c penctl -n '__penctl_at 1' -a conn_max -d 'Serves at most N connections at once.'
complete -c penctl -n '__penctl_at 1' -a connection -d 'Describes connection N.'
complete -c penctl -n '__penctl_at 1' -a control -d 'Tells where the control port is.'
complete -c penctl -n '__penctl_at 1' -a control_acl -d 'Checks users of the control port against an access list.'
complete -c penctl -n '__penctl_at 1' -a control_token -d 'Wants users of the control port by TCP to know the word in a file.'
complete -c penctl -n '__penctl_at 1' -a debug -d 'Says events at level 1, dumps bytes at level 2, and says what they mean at level 3.'
complete -c penctl -n '__penctl_at 1' -a delayed_forward -d 'Does nothing: what pen has is sent on at once.'
complete -c penctl -n '__penctl_at 1' -a drain -d 'Gives connections that long to finish after QUIT; 0 for ever.'
complete -c penctl -n '__penctl_at 1' -a epoll -d 'Does nothing: pen takes the best event engine by itself.'
complete -c penctl -n '__penctl_at 1' -a dummy -d 'At the start: answers each request itself, in place of servers.'
complete -c penctl -n '__penctl_at 1' -a events -d 'Tells what happens from now on, a line for each event.'
complete -c penctl -n '__penctl_at 1' -a exit -d 'Ends pen, if it was started with -X.'
complete -c penctl -n '__penctl_at 1' -a ftp -d 'Carries FTP with its data connections: protocol ftp.'
complete -c penctl -n '__penctl_at 1' -a ftp_address -d 'Tells FTP clients this address for data connections.'
complete -c penctl -n '__penctl_at 1' -a ftp_auth -d 'Lets FTP clients encrypt what they say, or refuses that.'
complete -c penctl -n '__penctl_at 1' -a ftp_ports -d 'Awaits data connections of FTP at these ports alone.'
complete -c penctl -n '__penctl_at 1' -a half_closed_timeout -d 'Resets connections with one end that were silent so long; 0 for none.'
complete -c penctl -n '__penctl_at 1' -a hash -d 'Chooses the server by a hash of the client\'s address.'
complete -c penctl -n '__penctl_at 1' -a http -d 'Tells servers in every request whom it is from: protocol http.'
complete -c penctl -n '__penctl_at 1' -a http_trust -d 'Keeps the X-Forwarded- fields of these clients.'
complete -c penctl -n '__penctl_at 1' -a idle_timeout -d 'Closes connections that were silent so long; 0 for none.'
complete -c penctl -n '__penctl_at 1' -a idlers -d 'Keeps N connections to servers open ahead; 0 for none.'
complete -c penctl -n '__penctl_at 1' -a fault -d 'Lets something go wrong with connections, on purpose.'
complete -c penctl -n '__penctl_at 1' -a include -d 'Executes the commands in a file, all or none.'
complete -c penctl -n '__penctl_at 1' -a keepalive -d 'Probes peers that are silent.'
complete -c penctl -n '__penctl_at 1' -a kqueue -d 'Does nothing, as epoll.'
complete -c penctl -n '__penctl_at 1' -a least -d 'Chooses the server with the fewest connections.'
complete -c penctl -n '__penctl_at 1' -a listen -d 'Listens for clients there instead.'
complete -c penctl -n '__penctl_at 1' -a listener -d 'Goes on with a listener, which is added or moved.'
complete -c penctl -n '__penctl_at 1' -a listeners -d 'Lists the listeners.'
complete -c penctl -n '__penctl_at 1' -a log -d 'Writes the request log there.'
complete -c penctl -n '__penctl_at 1' -a mode -d 'Tells which modes are on.'
complete -c penctl -n '__penctl_at 1' -a on -d 'Executes a command for a listener.'
complete -c penctl -n '__penctl_at 1' -a p2c -d 'Chooses the better of two servers at random.'
complete -c penctl -n '__penctl_at 1' -a pending_max -d 'Begins at most N connects at once.'
complete -c penctl -n '__penctl_at 1' -a pid -d 'Tells the process id of pen.'
complete -c penctl -n '__penctl_at 1' -a poll -d 'Does nothing, as epoll.'
complete -c penctl -n '__penctl_at 1' -a prio -d 'Chooses the server with the lowest priority number.'
complete -c penctl -n '__penctl_at 1' -a pool -d 'Goes on with a listener without an address, or adds it.'
complete -c penctl -n '__penctl_at 1' -a protocol -d 'Takes what clients and servers say for this protocol.'
complete -c penctl -n '__penctl_at 1' -a proxy_accept -d 'Wants a PROXY header of these clients, and believes it.'
complete -c penctl -n '__penctl_at 1' -a proxy_protocol -d 'Tells servers in a PROXY header whom a connection is from.'
complete -c penctl -n '__penctl_at 1' -a queue -d 'Lets N clients wait when all servers are full, 30 seconds or that long.'
complete -c penctl -n '__penctl_at 1' -a route -d 'Sends these clients to the servers of another listener.'
complete -c penctl -n '__penctl_at 1' -a route_timeout -d 'Waits so long for what a client says first.'
complete -c penctl -n '__penctl_at 1' -a recent -d 'Lists the clients that connected within that time, or within 300.'
complete -c penctl -n '__penctl_at 1' -a reload -d 'Reads again what pen was started with, and applies what has changed.'
complete -c penctl -n '__penctl_at 1' -a reuseport -d 'Lets other pens listen at the same addresses; for what is opened later.'
complete -c penctl -n '__penctl_at 1' -a roundrobin -d 'Takes servers in turn for each connection.'
complete -c penctl -n '__penctl_at 1' -a secrets -d 'Shows passwords and the like in dumps and captures, or not.'
complete -c penctl -n '__penctl_at 1' -a select -d 'Does nothing, as epoll.'
complete -c penctl -n '__penctl_at 1' -a server -d 'Changes or adds a server.'
complete -c penctl -n '__penctl_at 1' -a servers -d 'Lists the servers.'
complete -c penctl -n '__penctl_at 1' -a slow_start -d 'Lets a server that has come back warm up for so long; 0 for not.'
complete -c penctl -n '__penctl_at 1' -a socket -d 'Tells whose socket has descriptor N.'
complete -c penctl -n '__penctl_at 1' -a socket_buffers -d 'Lets the kernel keep so much towards a client and from a server; 0 as it likes.'
complete -c penctl -n '__penctl_at 1' -a source -d 'Connects to servers from this local address.'
complete -c penctl -n '__penctl_at 1' -a status -d 'Tells how pen is doing: as an HTML page, or in another form.'
complete -c penctl -n '__penctl_at 1' -a status_acl -d 'Checks those who look at the status port against an access list.'
complete -c penctl -n '__penctl_at 1' -a status_listen -d 'Shows by HTTP there how pen is doing.'
complete -c penctl -n '__penctl_at 1' -a stubborn -d 'Closes a client whose server is not available.'
complete -c penctl -n '__penctl_at 1' -a stuck_timeout -d 'Resets connections whose bytes nobody takes for so long; 0 for none.'
complete -c penctl -n '__penctl_at 1' -a tcp_fastclose -d 'Ends connections when the server, the client or either has ended.'
complete -c penctl -n '__penctl_at 1' -a tcp_nodelay -d 'Does nothing: pen always sends small segments at once.'
complete -c penctl -n '__penctl_at 1' -a timeout -d 'Gives a connect that long.'
complete -c penctl -n '__penctl_at 1' -a trace -d 'Tells in words what passes from now on.'
complete -c penctl -n '__penctl_at 1' -a tracking -d 'Remembers clients that long; 0 for ever.'
complete -c penctl -n '__penctl_at 1' -a udp_requests -d 'Begins anew with a client of UDP after N datagrams; 0 for never.'
complete -c penctl -n '__penctl_at 1' -a udp_responses -d 'Expects N answers to each datagram.'
complete -c penctl -n '__penctl_at 1' -a udp_timeout -d 'Forgets where a client of UDP was silent so long; 0 for never.'
complete -c penctl -n '__penctl_at 1' -a web_stats -d 'Writes the status page to a file when it is asked for.'
complete -c penctl -n '__penctl_at 1' -a transparent -d 'Lets servers see the clients\' own addresses.'
complete -c penctl -n '__penctl_at 1' -a weight -d 'Chooses the server with the fewest connections for its weight.'
complete -c penctl -n '__penctl_at 1' -a write -d 'Writes the configuration to a file from which pen can start.'
complete -c penctl -n '__penctl_at 1' -a no -d 'Takes a command back.'
complete -c penctl -n '__penctl_at 1' -a '-' -d 'takes commands from standard input'
complete -c penctl -n '__penctl_at 1' -a 'health' -d 'tells whether pen serves'
complete -c penctl -n '__penctl_at 1' -a 'top' -d 'shows a live table of servers'
complete -c penctl -n '__penctl_after acl' -a 'deny file permit'
complete -c penctl -n '__penctl_after ascii' -a 'auto'
complete -c penctl -n '__penctl_after capture' -a 'rotate seconds size'
complete -c penctl -n '__penctl_after check' -a 'tcp http smtp ftp pop3 imap ldap dns redis mysql send expect none'
complete -c penctl -n '__penctl_after client_rate' -a 'per'
complete -c penctl -n '__penctl_after events' -a 'connections lines listener process seconds servers'
complete -c penctl -n '__penctl_after fault' -a 'after blackhole connection delay reset throttle truncate'
complete -c penctl -n '__penctl_after ftp_auth' -a 'off on'
complete -c penctl -n '__penctl_after no' -a 'abort_on_error acl ascii block capture check client_rate control_token delayed_forward dummy fault ftp ftp_address ftp_ports hash http http_trust keepalive least listener log p2c prio proxy_accept proxy_protocol queue roundrobin route server source status_listen stubborn tcp_nodelay transparent udp_responses web_stats weight'
complete -c penctl -n '__penctl_after protocol' -a 'ftp http tcp udp'
complete -c penctl -n '__penctl_after proxy_protocol' -a 'v1 v2'
complete -c penctl -n '__penctl_after route' -a 'alpn host http sni ssh tls'
complete -c penctl -n '__penctl_after secrets' -a 'hide show'
complete -c penctl -n '__penctl_after server' -a 'address port max hard weight prio check acl proxy_protocol source transparent name blacklist enable disable drain'
complete -c penctl -n '__penctl_after status' -a 'json prometheus text'
complete -c penctl -n '__penctl_after tcp_fastclose' -a 'both down off up'
complete -c penctl -n '__penctl_after trace' -a 'client connection dump lines listener protocol seconds server'
complete -c penctl -n '__penctl_after top' -a '--once -n --every --sort'
complete -c penctl -n '__penctl_after health' -a '--timeout'
complete -c penctl -n '__penctl_after include' -F
complete -c penctl -n '__penctl_after log' -F
complete -c penctl -n '__penctl_after web_stats' -F
complete -c penctl -n '__penctl_after write' -F
complete -c penctl -n '__penctl_after control_token' -F
