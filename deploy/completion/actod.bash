# bash completion for actod: its commands, then files. The words come from the program itself.
_actod() {
    local current="${COMP_WORDS[COMP_CWORD]}"
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "$(actod --help | sed -n 's/^    \([a-z]\+\) .*/\1/p')" -- "$current")
    elif [[ ${COMP_WORDS[1]} == check && ${COMP_WORDS[COMP_CWORD - 1]} == --only ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(actod check --list | awk '{ print $1; print $2 }' | sort -u)" -- "$current")
    elif [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(actod "${COMP_WORDS[1]}" --help | grep -oE -- '--[a-z-]+' | sort -u)" -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}
complete -F _actod actod
