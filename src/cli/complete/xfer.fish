# Completions of xfer for fish.
function __xfer_complete
    set -l token (commandline --current-token --cut-at-cursor)
    command xfer __complete fish (commandline --tokenize --current-process --cut-at-cursor) "$token" 2>/dev/null
end
function __xfer_wants_files
    set -l lines (__xfer_complete)
    test "$lines[1]" = files
end
function __xfer_candidates
    set -l lines (__xfer_complete)
    set -l kind $lines[1]
    set -e lines[1]
    for line in $lines
        echo $line
    end
    if test "$kind" = dirs
        set -l token (commandline --current-token --cut-at-cursor)
        set -l prefix (string match --regex -- '^--[a-z-]+=' $token)
        for dir in (__fish_complete_directories (string replace --regex -- '^--[a-z-]+=' '' $token) '')
            echo "$prefix$dir"
        end
    end
end
complete --command xfer --no-files --keep-order --arguments '(__xfer_candidates)'
complete --command xfer --condition __xfer_wants_files --force-files
