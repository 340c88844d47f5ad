-- Verifies a request: sends its credential headers to /verify of the console, and stores the response in variables.

local forwarded = { "authorization", "x-api-key", "x-api-key-id", "x-api-key-secret", "user-agent" }

core.register_action("verify", { "http-req" }, function(txn)
    local sent, headers = txn.http:req_get_headers(), {}
    for _, name in ipairs(forwarded) do
        if sent[name] then
            -- Forwards every value of a repeated header: the console rejects duplicates.
            local values, at = {}, 0
            while sent[name][at] do
                values[at + 1] = sent[name][at]
                at = at + 1
            end
            headers[name] = values
        end
    end
    headers["x-forwarded-for"] = { txn.f:src() }

    local response = core.httpclient():get({ url = txn:get_var("txn.verify_url"), headers = headers, timeout = 5000 })
    local function copy(name, variable)
        local values = response.headers and response.headers[name]
        if values and values[0] then
            txn:set_var(variable, values[0])
        end
    end
    txn:set_var("txn.verify_status", response.status or 0)
    copy("www-authenticate", "txn.verify_challenge")
    copy("retry-after", "txn.verify_retry_after")
    copy("x-key-id", "txn.key_id")
    copy("x-key-name", "txn.key_name")
    copy("x-account-id", "txn.account_id")
    copy("x-key-expires-at", "txn.key_expires_at")
    copy("x-key-scopes", "txn.key_scopes")
    copy("x-mecha-id", "txn.mecha_id")
    copy("x-mecha-name", "txn.mecha_name")
end)
