# bash completion for pen and penctl
# Made from pen's own tables (tests/completions/files.rs); do not edit.

_pen() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    COMPREPLY=()
    case $prev in
    -F|--config|-l|--log|-p|--pid-file|-w|--web-stats)
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        return
        ;;
    --control-dir|-j|--chroot)
        mapfile -t COMPREPLY < <(compgen -d -- "$cur")
        return
        ;;
    -u|--user)
        mapfile -t COMPREPLY < <(compgen -u -- "$cur")
        return
        ;;
    -O|--command|-o)
        mapfile -t COMPREPLY < <(compgen -W 'abort_on_error acl ascii blacklist block capture check check_fall check_interval check_rise client_acl client_ipv6 client_max client_rate clients_max close coalesce conn_max connection control control_acl control_token debug delayed_forward drain dummy epoll events exit fault ftp ftp_address ftp_auth ftp_ports half_closed_timeout hash http http_trust idle_timeout idlers include keepalive kqueue least listen listener listeners log mode no on p2c pending_max pid poll pool prio protocol proxy_accept proxy_protocol queue recent reload reuseport roundrobin route route_timeout secrets select server servers slow_start socket socket_buffers source status status_acl status_listen stubborn stuck_timeout tcp_fastclose tcp_nodelay timeout trace tracking transparent udp_requests udp_responses udp_timeout web_stats weight write' -- "$cur")
        return
        ;;
    -b|--blacklist|-B|--abuse|-c|--clients|-C|--control|--control-mode|-e|--emergency|-m|--multi-accept|-q|--backlog|-S|--status|-t|--timeout|-T|--tracking|-x|--connections)
        return
        ;;
    esac
    if [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '-a --ascii -b --blacklist -B --abuse -c --clients -C --control --control-dir --control-mode -d --debug -e --emergency -f --foreground -F --config -h --hash -H --http -j --chroot -l --log -m --multi-accept -n --check -O --command -o -p --pid-file -P --poll -q --backlog -r --round-robin -s --stubborn -S --status -t --timeout -T --tracking -u --user -U --udp -w --web-stats -W --weight -x --connections -X --allow-exit --show-secrets --demo --help --version' -- "$cur")
    else
        mapfile -t COMPREPLY < <(compgen -A hostname -- "$cur")
    fi
}

_penctl() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}
    local at=1 words=
    COMPREPLY=()
    # Where the pen is named, behind the options and what they take.
    while ((at < COMP_CWORD)); do
        case ${COMP_WORDS[at]} in
        --token | --timeout) ((at += 2)) ;;
        -*) ((at += 1)) ;;
        *) break ;;
        esac
    done
    # A colon is a word of its own where COMP_WORDBREAKS has it.
    local first=$((at + 1))
    while [[ ${COMP_WORDS[first]-} == : ]]; do ((first += 2)); done
    if ((COMP_CWORD < first)); then
        case $prev in
        --timeout) return ;;
        esac
        if [[ $cur == -* && $prev != --token ]]; then
            mapfile -t COMPREPLY < <(compgen -W '--token --timeout --help --version' -- "$cur")
        else
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
        fi
        return
    fi
    if ((COMP_CWORD == first)); then
        words='abort_on_error acl ascii blacklist block capture check check_fall check_interval check_rise client_acl client_ipv6 client_max client_rate clients_max close coalesce conn_max connection control control_acl control_token debug delayed_forward drain dummy epoll events exit fault ftp ftp_address ftp_auth ftp_ports half_closed_timeout hash http http_trust idle_timeout idlers include keepalive kqueue least listen listener listeners log mode no on p2c pending_max pid poll pool prio protocol proxy_accept proxy_protocol queue recent reload reuseport roundrobin route route_timeout secrets select server servers slow_start socket socket_buffers source status status_acl status_listen stubborn stuck_timeout tcp_fastclose tcp_nodelay timeout trace tracking transparent udp_requests udp_responses udp_timeout web_stats weight write - health top'
    else
        case ${COMP_WORDS[first]} in
        acl) words='deny file permit' ;;
        ascii) words='auto' ;;
        capture) words='rotate seconds size' ;;
        check) words='tcp http smtp ftp pop3 imap ldap dns redis mysql send expect none' ;;
        client_rate) words='per' ;;
        events) words='connections lines listener process seconds servers' ;;
        fault) words='after blackhole connection delay reset throttle truncate' ;;
        ftp_auth) words='off on' ;;
        no) words='abort_on_error acl ascii block capture check client_rate control_token delayed_forward dummy fault ftp ftp_address ftp_ports hash http http_trust keepalive least listener log p2c prio proxy_accept proxy_protocol queue roundrobin route server source status_listen stubborn tcp_nodelay transparent udp_responses web_stats weight' ;;
        protocol) words='ftp http tcp udp' ;;
        proxy_protocol) words='v1 v2' ;;
        route) words='alpn host http sni ssh tls' ;;
        secrets) words='hide show' ;;
        server) words='address port max hard weight prio check acl proxy_protocol source transparent name blacklist enable disable drain' ;;
        status) words='json prometheus text' ;;
        tcp_fastclose) words='both down off up' ;;
        trace) words='client connection dump lines listener protocol seconds server' ;;
        top) words='--once -n --every --sort' ;;
        health) words=--timeout ;;
        include | log | web_stats | write | control_token)
            mapfile -t COMPREPLY < <(compgen -f -- "$cur")
            return
            ;;
        esac
    fi
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _pen pen
complete -o filenames -F _penctl penctl
