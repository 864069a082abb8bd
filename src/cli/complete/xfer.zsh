#compdef xfer
# Completions of xfer for zsh.
_xfer() {
    local kind prefix ret=1
    local -a lines
    lines=("${(@f)$(command xfer __complete zsh "${(@)words[1,CURRENT-1]}" "$PREFIX" 2>/dev/null)}")
    kind=$lines[1] prefix=$lines[2]
    if (( $#lines > 2 )); then
        lines=("${(@)lines[3,-1]}")
    else
        lines=()
    fi
    [[ -n $prefix ]] && compset -P "${(b)prefix}"
    (( $#lines )) && _describe -V -t values 'xfer' lines && ret=0
    case $kind in
        files) _files && ret=0 ;;
        dirs) _files -/ && ret=0 ;;
    esac
    return ret
}
# Loaded by its name, this is the function itself; else it is told to the shell.
if [[ $funcstack[1] == _xfer ]]; then
    _xfer "$@"
else
    compdef _xfer xfer
fi
