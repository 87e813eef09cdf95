# bash completion for kegnet-client. Debian's place for it is /usr/share/bash-completion/completions/kegnet-client.

_kegnet_client() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command='' word words i
    local everywhere='--help --version --root --config' hub='--help --version --dir'
    local command_line=" ${COMP_WORDS[*]}"
    COMPREPLY=()

    # What an option is followed by.
    case $previous in
        --root | --dir | --csv) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
        --config | --ca | --token-file | --link | --login | --key) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
        --device)
            # Of a board it is a file.
            [[ $command_line == *' kegboard'* ]] && mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        --url | --kegbot | --hub | --pin | --pulses | --elapsed-ms | --started-ms | --host | --database | --bind | --port | --proxy | --name | \
            --valid-minutes | --ml | --grams | --gravity | --keg | --reason | --beverage | --litres | --meter | --sensor | --serial-number | --meters | --sink | \
            --to | --expires | --memory | --seconds | --sequence | --wait | --announce | --broadcast)
            return
            ;;
    esac

    # The command as far as it is typed: "pour", "hub devices add".
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
            --root | --config | --dir | --csv | --ca | --sink | --url | --database | --login | --key | --to) ((i++)) ;;
            -*) ;;
            *)
                case $command in
                    '' | hub | 'hub devices' | 'hub token' | 'hub taps' | 'hub kegs' | 'hub profiles' | 'hub alarms' | rejected | flow-meter | \
                        runner | module | 'module database') command=${command:+$command }$word ;;
                esac
                ;;
        esac
    done

    case $command in
        '') words="run init enroll rotate-key pour send status check rejected flow-meter kegboard kegboard-monitor kegboard-simulate local-events runner module demo hub $everywhere" ;;
        run | check | rotate-key | local-events) words=$everywhere ;;
        send) words="--sink $everywhere" ;;
        init) words="--url --kegbot --ca $everywhere" ;;
        enroll) words=$everywhere ;;
        pour) words="--pin --pulses --elapsed-ms --started-ms $everywhere" ;;
        status) words="--json $everywhere" ;;
        rejected) words="list retry --sink $everywhere" ;;
        'rejected '*) words="--sink $everywhere" ;;
        kegboard) words="--device --verbose $everywhere" ;;
        flow-meter) words="import --verbose $everywhere" ;;
        'flow-meter import')
            words="--verbose $everywhere"
            [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
            ;;
        kegboard-monitor) words="--json --device $everywhere" ;;
        kegboard-simulate) words="--link --serial-number --meters $everywhere" ;;
        runner) words="start identity --json $everywhere" ;;
        'runner '*) words="--json $everywhere" ;;
        module) words="sign push remove run status log revoke discover database $everywhere" ;;
        'module '*)
            local couch='--url --database --login --ca --help --version'
            local may='--key --to --expires --network --spool --device --memory --seconds'
            case $command in
                *sign) words="--name --sequence $may --help --version" ;;
                *push | *remove) words=$couch ;;
                *run) words="--wait $may $couch" ;;
                *status) words="--json $couch" ;;
                *log) words="--name $couch" ;;
                *revoke) words='--root --help --version' ;;
                *discover) words='--announce --key --to --expires --broadcast --wait --json --help --version' ;;
                'module database') words="init add-device add-operator $couch" ;;
                *) words=$couch ;;
            esac
            [[ $current == -* || $command == 'module database' ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
            ;;
        demo) words="--once $everywhere" ;;
        hub) words="init run status taps kegs calibrate adjust profiles alarms settings invite devices token login-link bridge check backup restore export verify-export verify $everywhere" ;;
        'hub status' | 'hub check' | 'hub token list') words="--json $hub" ;;
        'hub taps') words="add end --json $hub" ;;
        'hub taps add') words="--device --pin --meter --sensor $hub" ;;
        'hub kegs') words="tap end --json $hub" ;;
        'hub kegs tap') words="--beverage --litres $hub" ;;
        'hub calibrate') words="--pulses --ml --grams --gravity --always $hub" ;;
        'hub adjust') words="--ml --keg --reason $hub" ;;
        'hub profiles') words="add start --json $hub" ;;
        'hub profiles add') words="--fahrenheit $hub" ;;
        'hub alarms') words="acknowledge --json $hub" ;;
        'hub settings') words="--json $hub" ;;
        'hub taps end' | 'hub kegs end' | 'hub profiles start' | 'hub alarms acknowledge') words=$hub ;;
        'hub backup' | 'hub restore')
            words=$hub
            [[ $command == *backup ]] && words="--without-database $hub"
            [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
            ;;
        'hub export' | 'hub verify-export')
            words="--csv --json $hub"
            [[ $command == *verify-export ]] && words='--ca --json --help --version'
            [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
            ;;
        'hub token') words='make list revoke --help --version' ;;
        'hub token make') words="--role $hub" ;;
        'hub login-link') words="--name --role --url $hub" ;;
        'hub init') words="--host --database $hub" ;;
        'hub bridge') words="--hub --ca --token-file --once $hub" ;;
        'hub run') words="--bind --port --proxy $hub" ;;
        'hub invite') words="--name --valid-minutes --url $hub" ;;
        'hub devices') words='add list revoke --help --version' ;;
        'hub devices add')
            words="--name $hub"
            # A public key is a file.
            [[ $current == -* ]] || mapfile -t COMPREPLY < <(compgen -f -- "$current")
            ;;
        'hub devices list' | 'hub devices revoke' | 'hub token revoke' | 'hub verify') words=$hub ;;
    esac
    mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -o filenames -F _kegnet_client kegnet-client
