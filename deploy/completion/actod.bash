# bash completion for actod: its commands, their actions, then files. The words come from the program itself.
_actod() {
    local current="${COMP_WORDS[COMP_CWORD]}"
    local actions='s/^    \([a-z-]\+\)\( .*\)\?$/\1/p; s/^  {\([a-z,]\+\)}.*$/\1/p'
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "$(actod --help | sed -n 's/^    \([a-z]\+\) .*/\1/p')" -- "$current")
    elif [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(actod "${COMP_WORDS[1]}" --help | grep -oE -- '--[a-z-]+' | sort -u)" -- "$current")
    else
        COMPREPLY=()
        if ((COMP_CWORD == 2)); then
            mapfile -t COMPREPLY < <(compgen -W "$(actod "${COMP_WORDS[1]}" --help | sed -n "$actions" | tr , ' ')" -- "$current")
        fi
        ((${#COMPREPLY[@]})) || mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}
complete -F _actod actod
