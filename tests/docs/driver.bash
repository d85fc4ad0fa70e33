# The shell of a page: takes commands from descriptor 3, one after the other, and tells each one's status on 4.
# Variables, the working directory and what runs in the background live on, as in a reader's terminal; a command
# that fails where it should not ends the shell, as `bash -euo pipefail` does.
# A record: kind, the text, file for the output, text to wait for, what is typed then; each ends with NUL.
set -auo pipefail  # what a page sets is there for its commands on a terminal too
trap 'printf "%s\0" "$?" >&4' EXIT
until_said() {  # FILE TEXT JOB: until the file has the text; the driver's reader has the deadline
  until grep -qF -- "$2" "$1"; do
    kill -0 "$3" 2>/dev/null || return 0
    sleep 0.05
  done
}
while
  IFS= read -r -d '' -u 3 docs_kind && IFS= read -r -d '' -u 3 docs_text && IFS= read -r -d '' -u 3 docs_out &&
    IFS= read -r -d '' -u 3 docs_after && IFS= read -r -d '' -u 3 docs_typed
do
  docs_status=0
  case $docs_kind in
    run)
      set -e
      eval "$docs_text" 3<&- 4>&- </dev/null >"$docs_out" 2>&1
      set +e ;;
    may-fail)
      eval "$docs_text" 3<&- 4>&- </dev/null >"$docs_out" 2>&1
      docs_status=$? ;;
    until)
      # Between two looks there is the time that one takes: what is waited for needs the processors too.
      while
        docs_began=${EPOCHREALTIME/./}
        ! (set +o pipefail; eval "$docs_text") 3<&- 4>&- </dev/null >"$docs_out" 2>&1
      do
        docs_took=$((${EPOCHREALTIME/./} - docs_began + 50000))
        sleep "$((docs_took / 1000000)).$(printf %06d $((docs_took % 1000000)))"
      done ;;
    terminal)  # bash has its background jobs ignore Ctrl-C, so that is undone
      rm -f "$docs_out.typed"
      mkfifo "$docs_out.typed"
      exec 9<>"$docs_out.typed"
      : >"$docs_out"
      docs_line="stty cols 240 rows 50; $docs_text"
      SHELL=/bin/bash env --default-signal=INT,QUIT script -qefc "$docs_line" /dev/null <&9 3<&- 4>&- >"$docs_out" 2>&1 &
      docs_job=$!
      until_said "$docs_out" "$docs_after" "$docs_job"
      printf '%b' "$docs_typed" >&9
      wait "$docs_job"
      docs_status=$?
      exec 9>&- ;;
  esac
  printf '%s\0' "$docs_status" >&4
done
trap - EXIT
