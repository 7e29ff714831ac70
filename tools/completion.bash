# Completion of vbl for bash: commands and scripts, then a script's keys and flags as its --help lists them.
_vbl() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} script= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case ${COMP_WORDS[i]} in
      *.lua) script=${COMP_WORDS[i]} && break ;;
    esac
  done
  if [ "$COMP_CWORD" = 1 ]; then
    mapfile -t COMPREPLY < <(compgen -W "data doctor export learn lsp reference report runs sweep test why" -- "$word"; compgen -f -X '!*.lua' -- "$word"; compgen -d -S / -- "$word")
    [[ ${COMPREPLY[0]} == */ ]] && compopt -o nospace
  elif [ -n "$script" ] && [ -f "$script" ] && [ "$word" != "=" ] && [ "$previous" != "=" ]; then
    mapfile -t COMPREPLY < <(compgen -W "$(vbl "$script" --help 2>/dev/null | sed -n 's/^  \([a-z_][a-z_.]*\) .*/\1=/p; s/^  \(--[a-z]*\).*/\1/p')" -- "$word")
    [[ ${COMPREPLY[0]} == *= ]] && compopt -o nospace
  else
    compopt -o default
  fi
}
complete -F _vbl vbl
