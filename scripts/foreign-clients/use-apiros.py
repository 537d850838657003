"""The Python example of MikroTik's wiki behind the runner's line protocol (see use-npm.mjs): use-apiros.py FOLDER."""
import json
import os
import socket
import sys

sys.path.insert(0, sys.argv[1])
from apiros import ApiRos  # noqa: E402


def say(answer):
    print('@' + json.dumps(answer), flush=True)


def talk(api, words):
    replies = api.talk(words)
    traps = [attributes['=message'] for reply, attributes in replies if reply == '!trap']
    if traps:
        return {'trap': traps[0]}
    rows = [attributes for reply, attributes in replies if reply in ('!re', '!done') and attributes]
    return {'rows': [{key[1:]: value for key, value in row.items()} for row in rows]}


api = ApiRos(socket.create_connection((os.environ['HOST'], int(os.environ['PORT'])), timeout=8))
api.login(os.environ['LOGIN_USER'], os.environ['LOGIN_PASSWORD'])
try:
    # its login doesn't look at the answer: whether it worked shows at the first command
    talk(api, ['/system/identity/print'])
except RuntimeError as error:
    say({'refused': str(error)})
    sys.exit()
say({'ready': True})
for line in sys.stdin:
    request = json.loads(line)
    words = [f'={key}={value}' for key, value in request['attributes'].items()]
    words += [f'?{key}={value}' for key, value in request['queries'].items()]
    say(talk(api, [request['command'], *words]))
