# The Ruby gem mtik behind the runner's line protocol (see use-npm.mjs): ruby -I FOLDER/lib use-mtik.rb.
require 'json'
require 'mtik'

$stdout.sync = true

def say(answer)
  puts "@#{JSON.generate(answer)}"
end

def text(value)
  value.is_a?(String) ? value.dup.force_encoding('UTF-8').scrub : value
end

begin
  api = MTik::Connection.new(host: ENV['HOST'], port: ENV['PORT'].to_i, user: ENV['LOGIN_USER'],
                             pass: ENV['LOGIN_PASSWORD'], ssl: ENV['MODE'] == 'tls', unecrypted_plaintext: true,
                             conn_timeout: 8, cmd_timeout: 8)
rescue MTik::Error, SystemCallError, IOError => e
  say(refused: e.message)
  exit
end
say(ready: true)
while (line = $stdin.gets)
  request = JSON.parse(line)
  words = request['attributes'].map { |key, value| "=#{key}=#{value}" }
  words += request['queries'].map { |key, value| "?#{key}=#{value}" }
  reply = api.get_reply(request['command'], *words)
  trap = reply.find { |sentence| sentence.key?('!trap') }
  if trap
    say(trap: trap['message'])
  else
    rows = reply.select { |sentence| sentence.key?('!re') || sentence.key?('ret') }
    rows = rows.map { |row| row.reject { |key, _| key.start_with?('!', '.tag') } }
    say(rows: rows.map { |row| row.transform_values { |value| text(value) } })
  end
end
