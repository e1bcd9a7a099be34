# bash completion for actod: its commands, then files. The words come from the program itself.
_actod() {
    local current="${COMP_WORDS[COMP_CWORD]}"
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "$(actod --help | sed -n 's/^    \([a-z]\+\) .*/\1/p')" -- "$current")
    elif [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(actod "${COMP_WORDS[1]}" --help | grep -oE -- '--[a-z-]+' | sort -u)" -- "$current")
    else
        mapfile -t COMPREPLY < <(compgen -f -- "$current")
    fi
}
complete -F _actod actod
