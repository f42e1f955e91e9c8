# Completion of reeve(1) for bash. What can be completed, reeve itself knows.

_reeve() {
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local verb='' choices='' i
	local -a words=("${COMP_WORDS[@]}") daemon=()
	local index=$COMP_CWORD

	# readline breaks words at colons: web:1 is one name
	if declare -F _get_comp_words_by_ref >/dev/null; then
		_get_comp_words_by_ref -n := -c word -p previous -w words -i index
	fi
	for ((i = 1; i < index; i++)); do
		case ${words[i]} in
		-s | --socket)
			daemon=(-s "${words[i + 1]}")
			i=$((i + 1))
			;;
		--socket=*) daemon=(-s "${words[i]#*=}") ;;
		--timeout | -n | --lines) i=$((i + 1)) ;;
		-*) ;;
		*) [[ -n $verb ]] || verb=${words[i]} ;;
		esac
	done
	case $previous in
	-s | --socket)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	--timeout | -n | --lines) return ;;
	esac
	case $verb:$word in
	*:-*) choices=$(reeve help --words "${verb:-status}" 2>/dev/null) ;;
	:* | help:*) choices=$(reeve help --words 2>/dev/null) ;;
	check:* | config:*)
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
		return
		;;
	reload:* | shutdown:* | reopen:* | version:*) return ;;
	*) choices=$(reeve "${daemon[@]}" status --names 2>/dev/null) ;;
	esac
	case $verb:$previous in
	signal:signal) choices='HUP INT QUIT KILL USR1 USR2 TERM STOP CONT' ;;
	wait:wait) choices='STOPPED STARTING RUNNING BACKOFF STOPPING KILLING EXITED FATAL' ;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
	[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
	if declare -F __ltrim_colon_completions >/dev/null; then
		__ltrim_colon_completions "$word"
	fi
}
complete -F _reeve reeve
