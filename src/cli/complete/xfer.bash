# Completions of xfer for bash.
_xfer() {
    local line kind= shell=bash
    # Before bash 4 there is no compopt, and bash would not quote what stands beside files.
    type compopt >/dev/null 2>&1 || shell=bash3
    COMPREPLY=()
    while IFS= read -r line; do
        if [[ -z $kind ]]; then
            kind=$line
        else
            COMPREPLY+=("$line")
        fi
    done <<<"$(command xfer __complete "$shell" "${COMP_LINE:0:COMP_POINT}" "$COMP_WORDBREAKS" 2>/dev/null)"
    # Without compopt, bash itself offers files wherever nothing else is.
    case $kind in
        files)
            if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
                compopt -o bashdefault -o default 2>/dev/null
            elif [[ $shell == bash ]]; then
                compopt -o filenames 2>/dev/null
                while IFS= read -r line; do
                    [[ -n $line ]] && COMPREPLY+=("$line")
                done <<<"$(compgen -f -- "$2")"
            fi
            ;;
        dirs) compopt -o dirnames +o default +o bashdefault 2>/dev/null ;;
        *) compopt +o default +o bashdefault 2>/dev/null ;;
    esac
    return 0
}
complete -o bashdefault -o default -o nosort -F _xfer xfer 2>/dev/null ||
    complete -o bashdefault -o default -F _xfer xfer
