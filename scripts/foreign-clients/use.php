<?php
// The PHP class RouterosAPI (Denis Basta's, in BenMenking/routeros-api and in Mikhmon) behind the runner's line
// protocol (see use-npm.mjs): php use.php FILE.
error_reporting(E_ALL & ~E_DEPRECATED);
require $argv[1];

function say(array $answer): void
{
    echo '@', json_encode($answer, JSON_UNESCAPED_UNICODE | JSON_INVALID_UTF8_SUBSTITUTE), "\n";
}

$mode = getenv('MODE');
$api = new RouterosAPI();
$api->port = (int) getenv('PORT');
$api->ssl = $mode === 'tls' || $mode === 'adh';
$api->attempts = 1;
$api->delay = 0;
if (!$api->connect(getenv('HOST'), getenv('LOGIN_USER'), getenv('LOGIN_PASSWORD'))) {
    say(['refused' => 'connect() said no. ' . $api->error_str]);
    exit;
}
say(['ready' => true]);
while (($line = fgets(STDIN)) !== false) {
    $request = json_decode($line, true);
    $words = $request['attributes'];
    foreach ($request['queries'] as $key => $value) {
        $words["?$key"] = $value;
    }
    $answer = $api->comm($request['command'], $words);
    if (isset($answer['!trap'])) {
        say(['trap' => $answer['!trap'][0]['message']]);
    } elseif (is_string($answer)) {
        say(['rows' => [['ret' => $answer]]]);
    } else {
        say(['rows' => $answer]);
    }
}
